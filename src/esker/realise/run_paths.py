"""Wheels whose libraries are looked for beside them: in places that another wheel fills.

The run path of an ELF file may begin with `$ORIGIN`, the directory of that file, and go on to a neighbour, such as
`$ORIGIN/../../nvidia/cublas/lib`. The loader takes that path as it is written. Where a directory on it is a link into
the store, `..` leads to the store, where the neighbour is not. So an environment has real directories for such a wheel.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

from esker.formats import elf
from esker.host import trees

__all__ = ["MARK", "is_marked", "leaves", "mark"]

MARK = ".esker-run-paths"
"""The file at the root of a wheel's tree which says that a run path of the wheel leaves the tree."""
_ORIGINS = ("$ORIGIN", "${ORIGIN}")


def mark(tree: str) -> None:
    """Mark the tree of a wheel if a run path leaves it."""
    if any(leaves(tree, path) for path in trees.files_below(tree) if _may_be_elf(tree, path)):
        with suppress(FileExistsError), open(f"{tree}/{MARK}", "x"):  # the wheel may bring one
            pass


def is_marked(tree: str) -> bool:
    """Return whether a run path leaves the tree."""
    return os.path.exists(f"{tree}/{MARK}")


def leaves(tree: str, path: str, *, is_program: bool = False) -> bool:
    """Return whether the file at `path` below `tree` is ELF and looks for libraries in a place that `tree` lacks.

    With `is_program`, a library that cannot be started does not count.
    """
    full = os.path.join(tree, path)
    with open(full, "rb") as file:
        if file.read(len(elf.MAGIC)) != elf.MAGIC:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            program = elf.parse(content)
    if is_program and (program is None or program.interpreter is None):
        return False
    for entry in program.run_path if program else ():
        origin = next((each for each in _ORIGINS if entry.startswith(each)), None)
        if origin is not None:
            place = os.path.normpath(os.path.join(os.path.dirname(path), entry.removeprefix(origin).lstrip("/")))
            if place == ".." or place.startswith("../") or not os.path.isdir(f"{tree}/{place}"):
                return True
    return False


def _may_be_elf(tree: str, path: str) -> bool:
    """Return whether a file is ELF as far as its name and mode say."""
    return ".so" in os.path.basename(path) or os.access(f"{tree}/{path}", os.X_OK)
