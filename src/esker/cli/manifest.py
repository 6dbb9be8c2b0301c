"""How commands read and replace the manifest of an environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.selection import check_version
from esker.declare.validate import read_text
from esker.errors import InvalidManifest
from esker.host import files
from esker.runtimes.native.change import change_manifest, manifest_path
from esker.runtimes.native.swap import put_in_order
from esker.services.supervised.supervisor_record import services_are_running
from esker.settings import Settings

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["read_manifest", "replace_manifest"]


def read_manifest(project: str) -> str:
    """Return the text of a project's manifest; puts in order what a killed change has left."""
    put_in_order(project)
    return files.read_text(manifest_path(project), InvalidManifest)


def replace_manifest(project: str, before: str, text: str, voice: Voice, *, lock: bool) -> bool:
    """Replace the manifest `before` by `text`, print what people should know, and return whether they differ."""
    check_version(read_text(text, manifest_path(project))[0], voice)
    changed = change_manifest(project, text, Settings(os.environ), before=before, lock=lock, progress=voice.progress())
    if changed and services_are_running(f"{project}/.flox"):
        voice.say(f"! Your manifest has changes that may require running '{voice.program} services restart'.")
    return changed
