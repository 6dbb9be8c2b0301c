"""Files that a project names by patterns, because its tool does not tell what it reads."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from esker.host import globs
from esker.runtimes.foreign.tool import MOST_FILES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["directories_of", "matches", "walked"]

_SKIPPED = {".git", ".flox", ".direnv"}
"""Directories of tools, which change with every use."""


def matches(directory: str, patterns: Sequence[str]) -> list[str]:
    """Return the files below a directory that patterns match now; raises HostError as `globs.matches` does."""
    names = {name for pattern in patterns for name in globs.matches(pattern, directory)}
    return [f"{directory}/{name}" for name in sorted(names)][:MOST_FILES]


def directories_of(directory: str, patterns: Sequence[str]) -> list[str]:
    """Return the directories in which a new file may match a pattern."""
    signs = []
    for pattern in patterns:
        parts = pattern.split("/")
        fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
        start = "/".join((directory, *parts[:fixed]))
        signs += walked(start, hidden=True)[1][:MOST_FILES] if len(parts) - fixed > 1 else [start]
    return signs


def walked(directory: str, *, hidden: bool) -> tuple[list[str], list[str]]:
    """Return the files and the directories below a directory; links are files. It ends far above what counts."""
    files: list[str] = []
    directories: list[str] = []
    for path, names, found in os.walk(directory):
        directories.append(path)
        skipped = _SKIPPED if hidden else {*_SKIPPED, "node_modules", *(name for name in names if name[0] == ".")}
        names[:] = sorted(name for name in names if name not in skipped)
        files += [f"{path}/{name}" for name in sorted(found)]
        files += [f"{path}/{name}" for name in names if os.path.islink(f"{path}/{name}")]
        if len(directories) > 4 * MOST_FILES or len(files) > 20 * MOST_FILES:
            break
    return files, directories
