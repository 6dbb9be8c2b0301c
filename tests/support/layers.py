"""Environments that include each other, as tests write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.declare.load import load
from esker.lock.compose import composed
from esker.lock.lock_files import Lock, write_lock
from esker.lock.resolve import _manifest_lock
from tests.support.projects import EMPTY, write_project

if TYPE_CHECKING:
    from pathlib import Path

    from esker.settings import Settings

__all__ = ["include", "layer", "locked"]


def include(*directories: str) -> str:
    """Return the table that includes environments in these directories."""
    listed = ", ".join('{ dir = "' + each + '" }' for each in directories)
    return f"[include]\nenvironments = [{listed}]\n"


def layer(top: Path, name: str, text: str, *below: str, settings: Settings) -> Path:
    """Write an environment that includes others beside it, lock it without its packages, and return its project."""
    directory = top / name
    manifest = EMPTY + text + (include(*(f"../{each}" for each in below)) if below else "")
    if not directory.exists():
        write_project(directory, name=name)
    (directory / ".flox/env/manifest.toml").write_text(manifest)
    return locked(directory, settings)


def locked(directory: Path, settings: Settings) -> Path:
    """Lock the manifest of a project alone, without Python and conda packages, and return the project."""
    declaration = composed(load(str(directory)), settings)
    lockfile, _ = _manifest_lock(declaration, None, settings)
    write_lock(declaration, Lock(lockfile, None))
    return directory
