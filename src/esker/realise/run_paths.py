"""Wheels whose libraries are looked for beside them: in places that another wheel fills.

The run path of an ELF file may begin with `$ORIGIN`, the directory of that file, and go on to a neighbour, such as
`$ORIGIN/../../nvidia/cublas/lib`. The loader takes that path as it is written. Where a directory on it is a link into
the store, `..` leads to the store, where the neighbour is not. So an environment has real directories for such a wheel.
The same goes for a place within the wheel that another wheel of the environment fills too, which only shows there.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.formats import elf
from esker.host import trees

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["MARK", "is_marked", "leaves", "mark", "may_be_library", "reaches", "reaches_any"]

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
    return any(
        place == ".." or place.startswith("../") or not os.path.isdir(f"{tree}/{place}")
        for place in _places(tree, path, is_program=is_program)
    )


def reaches(tree: str, path: str, directories: Collection[str], *, is_program: bool = False) -> bool:
    """Return whether the file at `path` is ELF and looks for libraries in one of the `directories` below the tree.

    Its own directory does not count: there a link leads to the file alone.
    """
    own = os.path.dirname(path)
    return any(place in directories and place != own for place in _places(tree, path, is_program=is_program))


def reaches_any(tree: str, directories: Collection[str]) -> bool:
    """Return whether that holds for any file of the tree."""
    return any(reaches(tree, path, directories) for path in trees.files_below(tree) if _may_be_elf(tree, path))


def _places(tree: str, path: str, *, is_program: bool) -> Iterator[str]:
    """Yield the directories, seen from the tree, in which an ELF file looks for libraries, if `$ORIGIN` says so."""
    full = os.path.join(tree, path)
    with open(full, "rb") as file:
        if file.read(len(elf.MAGIC)) != elf.MAGIC:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            program = elf.parse(content)
    if is_program and (program is None or program.interpreter is None):
        return
    for entry in program.run_path if program else ():
        origin = next((each for each in _ORIGINS if entry.startswith(each)), None)
        if origin is not None:
            yield os.path.normpath(os.path.join(os.path.dirname(path), entry.removeprefix(origin).lstrip("/")))


def may_be_library(name: str) -> bool:
    """Return whether a file is a shared library as far as its name says."""
    return ".so" in name


def _may_be_elf(tree: str, path: str) -> bool:
    """Return whether a file is ELF as far as its name and mode say."""
    return may_be_library(os.path.basename(path)) or os.access(f"{tree}/{path}", os.X_OK)
