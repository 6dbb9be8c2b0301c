"""Projects that tests write, without a command that makes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EMPTY", "write_project"]

EMPTY = 'schema-version = "1.14.0"\n'
"""A manifest that declares nothing."""


def write_project(directory: Path, manifest: str = EMPTY, name: str = "items") -> Path:
    """Write the two files of an environment into a directory, which is made where it is missing, and return it."""
    (directory / ".flox" / "env").mkdir(parents=True)
    (directory / ".flox" / "env.json").write_text(json.dumps({"name": name, "version": 1}))
    (directory / ".flox" / "env" / "manifest.toml").write_text(manifest)
    return directory
