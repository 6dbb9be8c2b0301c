"""Linking the trees of packages into one: by the highest directory that a tree alone brings.

A directory that several bring is real, and what is in it is linked one by one. So few links are needed, and everything
below one of them is where its wheel has it. Some wheels need their neighbours beside them: they get real directories
with a link for each file, and copies of the programs whose run path leads to a neighbour.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from esker.realise import run_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

__all__ = ["Clash", "Linked", "Tree", "link_trees"]

_CACHE = "__pycache__"


class Tree(NamedTuple):
    """The tree of a wheel, or of all conda packages."""

    name: str
    path: str
    by_file: bool
    """Whether every directory of it has to be real."""
    hidden: Collection[str] = ()
    """Paths in it that are left out; the directories above them have to be real."""


_Claim: TypeAlias = "tuple[Tree, os.DirEntry[str]]"


class Clash(NamedTuple):
    """A file that several wheels bring, and not the same one."""

    path: str
    """Below the root of the trees."""
    names: tuple[str, ...]
    """Of the wheels; the file of the last one is used."""


class Linked(NamedTuple):
    """What came of linking trees."""

    clashes: list[Clash]
    copies: dict[str, str]
    """Maps a program's path in its tree to its path below the target, for programs that had to be copied."""


class _Linking(NamedTuple):
    target: str
    real: Collection[str]
    place: Callable[[str, str], None]
    libraries: Collection[str]
    """Directories that several trees have, and that hold libraries."""
    result: Linked


def link_trees(
    trees: Sequence[Tree], target: str, *, real: Collection[str], place: Callable[[str, str], None]
) -> Linked:
    """Link all that the trees hold into the directory `target`.

    The paths in `real` are always directories. `place(source, path)` puts one file or directory of a tree at a path
    below the target where nothing is yet. Of files with one name, that of the last tree is taken.
    """
    libraries = {path for path in _library_directories(trees, "") if path not in real}
    linking = _Linking(target, real, place, libraries, Linked([], {}))
    _link([_finding(tree, libraries) for tree in trees], "", linking, {})
    return linking.result


def _library_directories(trees: Sequence[Tree], below: str) -> Iterator[str]:
    """Yield the directories, below one that several trees have, that several have too and that hold libraries."""
    having: dict[str, list[Tree]] = {}
    holds_libraries = False
    for tree in trees:
        with os.scandir(f"{tree.path}/{below}") as children:
            for child in children:
                if child.is_dir(follow_symlinks=False):
                    having.setdefault(child.name, []).append(tree)
                holds_libraries |= run_paths.may_be_library(child.name)
    if holds_libraries:
        yield below
    for name, several in having.items():
        if len(several) > 1 and name != _CACHE:
            yield from _library_directories(several, f"{below}/{name}" if below else name)


def _finding(tree: Tree, libraries: Collection[str]) -> Tree:
    """Return the tree, by file if something in it looks for a library where other trees may have it."""
    here = [path for path in libraries if os.path.isdir(f"{tree.path}/{path}")]
    return tree._replace(by_file=tree.by_file or (bool(here) and run_paths.reaches_any(tree.path, here)))


def _link(trees: Sequence[Tree], below: str, linking: _Linking, modules: Mapping[str, Tree]) -> None:
    """Link what the trees have in the directory `below`; `modules` says whose the files are in the directory above."""
    claims: dict[str, list[_Claim]] = {}
    for tree in trees:
        with os.scandir(f"{tree.path}/{below}") as children:
            for child in children:
                path = f"{below}/{child.name}" if below else child.name
                if path != run_paths.MARK and path not in tree.hidden:
                    claims.setdefault(child.name, []).append((tree, child))
    taken: dict[str, Tree] = {}
    directories: list[tuple[str, list[Tree]]] = []
    for name, brought in sorted(claims.items()):
        claimants = _of_its_source(name, brought, modules) if os.path.basename(below) == _CACHE else brought
        if not claimants:
            continue
        path = f"{below}/{name}" if below else name
        last, entry = claimants[-1]
        inner = [tree for tree, each in claimants if each.is_dir(follow_symlinks=False)]
        is_shared = len(inner) > 1 or last.by_file or path in linking.real or (name == _CACHE and len(trees) > 1)
        if entry.is_dir(follow_symlinks=False) and is_shared:
            os.makedirs(f"{linking.target}/{path}", exist_ok=True)
            directories.append((path, inner))
        else:
            _place(entry.path, path, last, linking)
        taken[name] = last
        if len(claimants) > max(1, len(inner)) and _differ([each for _, each in claimants]):
            linking.result.clashes.append(Clash(path, tuple(tree.name for tree, _ in claimants)))
    for path, inner in directories:
        _link(inner, path, linking, taken)


def _of_its_source(name: str, claimants: list[_Claim], modules: Mapping[str, Tree]) -> list[_Claim]:
    """Keep only byte code of the tree whose source is used: Python does not check that they match."""
    source = modules.get(f"{name.partition('.')[0]}.py")
    return [(tree, entry) for tree, entry in claimants if source in {None, tree}]


def _place(source: str, path: str, tree: Tree, linking: _Linking) -> None:
    # The kernel tells a program where its real file is, so it has to be one here to look beside itself here.
    if (
        tree.by_file
        and os.path.isfile(source)
        and os.access(source, os.X_OK)
        and (
            run_paths.leaves(tree.path, path, is_program=True)
            or run_paths.reaches(tree.path, path, linking.libraries, is_program=True)
        )
    ):
        shutil.copyfile(source, f"{linking.target}/{path}")
        os.chmod(f"{linking.target}/{path}", 0o755)  # noqa: S103  # a program; the store makes it 0555
        linking.result.copies[source] = path
    else:
        linking.place(source, path)


def _differ(entries: Sequence[os.DirEntry[str]]) -> bool:
    """Return whether not all are files of one content."""
    if not all(entry.is_file(follow_symlinks=False) for entry in entries):
        return True
    return not all(filecmp.cmp(entries[0].path, entry.path, shallow=False) for entry in entries[1:])
