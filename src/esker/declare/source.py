"""The directories of a project that `source` in `[plugins.esker.python]` puts on Python's path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["source_directories"]


def source_directories(project: str, source: Sequence[str]) -> list[str]:
    """Return the absolute paths of the directories in `source`; raises RealisationFailed for one that is missing."""
    directories = []
    for entry in source:
        path = os.path.normpath(os.path.join(project, entry))
        if not os.path.isdir(path):
            raise RealisationFailed(
                f"`{entry}`, named by `source` in [plugins.esker.python], is not a directory of the project",
                hint="name a directory relative to the one that holds .flox",
            )
        if not _fits_a_line(path):
            raise RealisationFailed(
                f"`{entry}`, named by `source` in [plugins.esker.python], cannot be on Python's path: {path!a}",
                hint="rename it, or the directory above it: names must be UTF-8 without line breaks",
            )
        directories.append(path)
    return directories


def _fits_a_line(path: str) -> bool:
    """Return whether one line of a `.pth` file can hold a path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return path.splitlines() == [path.rstrip()]
