"""Which environment a command means that is told none, or told one, and what it declares."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.activate.lists import active_environments, dot_flox_of
from esker.cli.directory import place
from esker.declare.known_environments import remember
from esker.declare.load import environment_name, load
from esker.errors import EskerError, NotFound
from esker.formats.manifest import MinimumVersion
from esker.runtimes import registry
from esker.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.formats.manifest import Manifest

__all__ = ["active_project", "check_version", "declared", "selected"]

_ANYWHERE = "default"
"""What the environment of a home directory is called: it is active everywhere, so that one in a project is meant."""


def selected(options: Namespace, environ: Mapping[str, str]) -> str:
    """Return the project directory that is meant, absolute and with links resolved; it is remembered.

    What the options name; else of the environment that was activated last and the one around the current directory the
    only one; of two the one that is not called `default`, or the one around here, or on a terminal what is answered.
    """
    start, explicit = place(options)
    project = registry.find(start, explicit=True)[0] if explicit else _meant(start, environ)
    remember(project, Settings(environ))
    return project


def declared(options: Namespace, environ: Mapping[str, str], voice: Voice) -> Declaration:
    """Return the declaration of the environment that is meant."""
    declaration = load(selected(options, environ))
    check_version(declaration.manifest, voice)
    return declaration


def check_version(manifest: Manifest, voice: Voice) -> None:
    """Warn of a manifest that wants a later Flox."""
    wanted = manifest.minimum_cli_version
    if isinstance(wanted, MinimumVersion):
        voice.check_version(wanted.version, wanted.reason)
    else:
        voice.check_version(wanted)


def active_project(environ: Mapping[str, str]) -> str | None:
    """Return the project whose environment was activated last, if it is still there."""
    for element in active_environments(environ.get("_FLOX_ACTIVE_ENVIRONMENTS"))[:1]:
        found = dot_flox_of(element)
        if found is not None and os.path.isdir(found):
            return os.path.dirname(found)
    return None


def _meant(start: str, environ: Mapping[str, str]) -> str:
    active = active_project(environ)
    try:
        found = registry.find(start, explicit=False)[0]
    except NotFound as error:
        if active is not None:
            return active
        message = "Did not find an active environment or an environment in the current directory."
        raise NotFound(message, hint=error.hint) from None
    if active is None or active == found or environment_name(active) == _ANYWHERE:
        return found
    if environment_name(found) == _ANYWHERE:
        return active
    return _answered(active, found) if sys.stdin.isatty() and sys.stderr.isatty() else found


def _answered(active: str, found: str) -> str:
    print("Which environment is meant?", file=sys.stderr)
    print(f"  1  '{environment_name(active)}', which is active: {active}", file=sys.stderr)
    print(f"  2  '{environment_name(found)}', which is here: {found}", file=sys.stderr)
    print("1 or 2: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if answer not in {"1", "2"}:
        raise EskerError("no environment was chosen", hint="name one: -d DIR")
    return active if answer == "1" else found
