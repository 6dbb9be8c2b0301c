"""Which environment a command works on, and what that environment declares."""

from __future__ import annotations

import os
import sys

from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_environments, dot_flox_of, project_of
from esker.cli.directory import place
from esker.declare.discover import find
from esker.errors import EskerError, NotFound
from esker.formats.printable import printable
from esker.runtimes import registry
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.formats.manifest import Manifest

__all__ = [
    "active_project",
    "changeable_project",
    "check_version",
    "chosen_project",
    "declared",
    "declared_if_any",
    "note_project",
    "selected_project",
]

_ANYWHERE = "default"
"""The name of a home directory's environment. That one is active everywhere, so a project's takes precedence."""


def selected_project(options: Namespace, environ: Mapping[str, str]) -> str:
    """Return the project directory that a command works on, absolute and with links resolved, and remember it."""
    project = chosen_project(options, environ)
    note_project(project, environ)
    return project


def note_project(project: str, environ: Mapping[str, str]) -> None:
    """Put a project on the list of this user's environments."""
    from esker.declare.known_environments import remember

    remember(project, Settings(environ))


def chosen_project(options: Namespace, environ: Mapping[str, str]) -> str:
    """Return the project directory that a command works on, absolute and with links resolved.

    The options may name it. Otherwise there are two candidates: the environment that was activated last, and the one
    around the current directory. If they differ, one that is called `default` gives way to the other. If neither is,
    we ask a person at a terminal; without a terminal it is the one around the current directory.
    """
    start, explicit = place(options)
    runtime = getattr(options, "runtime", None)  # of the commands that have this option
    if explicit or runtime is not None:
        return registry.find_project(start, explicit=explicit, runtime=runtime)[0]
    return _meant(start, environ)


def changeable_project(options: Namespace, environ: Mapping[str, str]) -> str:
    """Return the project directory that a command is to change; raises NotFound without `.flox`.

    Raises GenerationActive as `check_changeable` does.
    """
    from esker.runtimes.native.change import check_changeable

    project = find(selected_project(options, environ), explicit=True)  # another declaration is not ours to change
    check_changeable(project, environ)
    return project


def declared(options: Namespace, environ: Mapping[str, str], voice: Voice) -> Declaration:
    """Return the declaration of the selected environment."""
    from esker.declare.load import load

    declaration = load(selected_project(options, environ))
    check_version(declaration.manifest, voice)
    return declaration


def declared_if_any(options: Namespace, environ: Mapping[str, str], voice: Voice) -> Declaration | None:
    """Return the declaration of the selected environment; None if none is named, active or around this directory."""
    start, explicit = place(options)
    if not explicit and active_project(environ) is None:
        try:
            registry.find_project(start, explicit=False)
        except NotFound:
            return None
    return declared(options, environ, voice)


def check_version(manifest: Manifest, voice: Voice) -> None:
    """Warn if a manifest requires a later version of Flox."""
    from esker.formats.manifest import MinimumVersion

    minimum = manifest.minimum_cli_version
    if isinstance(minimum, MinimumVersion):
        voice.check_version(minimum.version, minimum.reason)
    else:
        voice.check_version(minimum)


def active_project(environ: Mapping[str, str]) -> str | None:
    """Return the project whose environment was activated last, or None if that is gone."""
    for element in active_environments(environ.get(ACTIVE_ENVIRONMENTS))[:1]:
        dot_flox = dot_flox_of(element)
        if dot_flox is not None and os.path.isdir(dot_flox):
            return project_of(element)
    return None


def _meant(start: str, environ: Mapping[str, str]) -> str:
    active = active_project(environ)
    try:
        here, kind = registry.find_project(start, explicit=False)
    except NotFound as error:
        if active is not None:
            return active
        message = "Did not find an active environment or an environment in the current directory."
        raise NotFound(message, hint=error.hint) from None
    if active is not None and registry.RUNTIMES[kind].is_last:
        return active
    if active is None or active == here or _name(active) == _ANYWHERE:
        return here
    if _name(here) == _ANYWHERE:
        return active
    return _answered(active, here) if sys.stdin.isatty() and sys.stderr.isatty() else here


def _name(project: str) -> str:
    from esker.declare.load import environment_name

    return environment_name(project) if os.path.isdir(f"{project}/.flox") else os.path.basename(project)


def _answered(active: str, here: str) -> str:
    print("Which environment do you mean?", file=sys.stderr)
    print(printable(f"  1  '{_name(active)}', which is active: {active}"), file=sys.stderr)
    print(printable(f"  2  '{_name(here)}', which is here: {here}"), file=sys.stderr)
    print("1 or 2: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if answer not in {"1", "2"}:
        raise EskerError("no environment was chosen", hint="answer 1 or 2, or name the project directory: -d DIR")
    return active if answer == "1" else here
