"""How commands read and replace the manifest of an environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.selection import check_version
from esker.declare.validate import read_text
from esker.errors import InvalidManifest
from esker.formats.tables.reader import dotted
from esker.host import files
from esker.lock.packages import unused_groups
from esker.runtimes.native.change import change_manifest, manifest_path
from esker.runtimes.native.swap import put_in_order
from esker.services.supervised.supervisor_record import services_are_running
from esker.settings import Settings

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.formats.manifest import Manifest

__all__ = ["read_manifest", "read_valid_manifest", "replace_manifest", "tell_unused_groups"]


def read_manifest(project: str) -> str:
    """Return the text of a project's manifest; puts in order what a killed change has left."""
    put_in_order(project)
    return files.read_text(manifest_path(project), InvalidManifest)


def read_valid_manifest(project: str) -> str:
    """Return what `read_manifest` returns; raises InvalidManifest, with the path, if it has mistakes."""
    text = read_manifest(project)
    read_text(text, manifest_path(project))
    return text


def replace_manifest(
    project: str, before: str, text: str, voice: Voice, *, lock: bool, python_downloads: bool = True
) -> bool:
    """Replace the manifest `before` by `text`, print what people should know, and return whether they differ.

    Without `python_downloads` no Python is fetched for it.
    """
    manifest = read_text(text, manifest_path(project))[0]
    check_version(manifest, voice)
    tell_unused_groups(manifest, voice)
    settings = Settings(os.environ, python_downloads=python_downloads)
    changed = change_manifest(project, text, settings, before=before, lock=lock, progress=voice.progress())
    if changed and services_are_running(f"{project}/.flox"):
        voice.say(f"! Your manifest has changes that may require running '{voice.program} services restart'.")
    return changed


def tell_unused_groups(manifest: Manifest, voice: Voice) -> None:
    """Warn about each group of packages that is described, but that no package is in."""
    for name in unused_groups(manifest):
        key = dotted((name,))
        voice.say(
            f"! No package is in pkg-group '{key}', so '[pkg-groups.{key}]' has no effect.\n"
            f"Check the pkg-group name with '{voice.program} edit'."
        )
