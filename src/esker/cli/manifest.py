"""How commands read and replace the manifest of an environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.selection import check_version
from esker.cli.views.output import print_json
from esker.declare.discover import no_environment
from esker.declare.load import manifest_path
from esker.declare.validate import read_text
from esker.errors import InvalidManifest
from esker.formats.tables.reader import dotted, near
from esker.host import files
from esker.lock.changes import summary
from esker.lock.packages import unused_groups
from esker.runtimes.native.change import Texts, change
from esker.runtimes.native.swap import put_in_order
from esker.services.supervised.supervisor_record import services_are_running
from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.cli.voice import Voice
    from esker.formats.manifest import Manifest
    from esker.lock.changes import PackageChange
    from esker.runtimes.native.change import Change, Effect

__all__ = [
    "checked_manifest",
    "read_manifest",
    "replace_manifest",
    "tell_change",
    "tell_services",
    "tell_unused",
]


def read_manifest(project: str) -> str:
    """Return the text of a project's manifest; puts in order what a killed change has left.

    Raises NoEnvironment if the project is declared for another tool.
    """
    if not os.path.isdir(f"{project}/.flox"):
        raise no_environment(project)
    put_in_order(project)
    return files.read_text(manifest_path(project), InvalidManifest)


def checked_manifest(project: str, voice: Voice) -> str:
    """Return what `read_manifest` returns, with a warning about what does not stop a change; raises InvalidManifest."""
    text = read_manifest(project)
    _check(text, project, voice)
    return text


def replace_manifest(project: str, before: str, text: str, voice: Voice, *, lock: bool) -> bool:
    """Replace the manifest `before` by `text`, print what people should know, and return whether they differ."""
    _check(text, project, voice)
    effect: Effect = "install" if lock else "write"
    settings, progress = Settings(os.environ), voice.progress()
    made = change(project, Texts(text), settings, before=before, effect=effect, progress=progress)
    tell_services(project, made, voice, effect)
    if changes := summary(made.packages()):
        voice.remark(changes)
    return made.differs


def _check(text: str, project: str, voice: Voice) -> None:
    manifest = read_text(text, manifest_path(project))[0]
    check_version(manifest, voice)
    tell_unused(manifest, voice)


def tell_services(project: str, made: Change, voice: Voice, effect: Effect) -> None:
    """Say that running services do not know the change yet."""
    if made.differs and effect != "try" and services_are_running(f"{project}/.flox"):
        voice.say(f"! Your manifest has changes that may require running '{voice.program} services restart'.")


def tell_change(
    changes: Sequence[PackageChange], environment: str, voice: Voice, *, json: bool, effect: Effect
) -> None:
    """Show what a command has changed in the lock, or would change, to people and with `json` to programs too."""
    if lines := summary(changes):
        voice.remark(lines)
    if effect == "try":
        voice.say("! Nothing was written: this was a dry run.")
    if json:
        records = [each.record() for each in changes]
        print_json({"environment": environment, "dry_run": effect == "try", "changes": records})


def tell_unused(manifest: Manifest, voice: Voice) -> None:
    """Warn about what has no effect: a group that no package is in, and a table whose name is almost Esker's."""
    for name in manifest.plugins:
        if name != "esker" and (hint := near(name, ["esker"], closeness=0.8)):
            voice.say(f"! Esker does not read [plugins.{dotted((name,))}], which may be another program's: {hint}")
    for name in unused_groups(manifest):
        key = dotted((name,))
        voice.say(
            f"! No package is in pkg-group '{key}', so '[pkg-groups.{key}]' has no effect.\n"
            f"Check the pkg-group name with '{voice.program} edit'."
        )
