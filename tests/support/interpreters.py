"""Interpreters that a machine might have: programs that answer Esker's question as another Python would."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import msgspec

from esker.host.interpreters import inspect

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["minor", "pretended_python"]


def minor(distance: int = 0) -> str:
    """Return the minor version of the running Python, or the one that is `distance` away from it."""
    return f"{sys.version_info.major}.{sys.version_info.minor + distance}"


def pretended_python(directory: Path, version: str) -> Path:
    """Write a `pythonX.Y` into `directory` that says it is `version`, and return its path.

    It answers no other question, so nothing can be installed for it.
    """
    real = inspect(sys.executable, {})
    assert real is not None
    path = directory / f"python{version.rpartition('.')[0]}"
    answer = {**msgspec.to_builtins(real), "version": version, "executable": str(path)}
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {shlex.quote(json.dumps(answer))}\n")
    path.chmod(0o755)
    return path
