"""Sealing: the last step of a build, which prepares the finished trees to become store paths.

It gives them the modes and times that all store paths have. It refuses links whose targets nothing would keep. Then it
hashes the trees and flushes them to disk.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed
from esker.formats.nix import nar, store_path
from esker.host import files, trees

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["seal"]


def seal(trees_of: Mapping[str, str], allowed: Collection[str], *, durable: bool) -> dict[str, tuple[bytes, int]]:
    """Make trees canonical, flush them to disk if `durable`, and return each archive's hash and size in bytes.

    `trees_of` has for each store path the tree that will become it. All lie in the store's directory, and `allowed`
    names the other entries of that directory that their links may lead to. Raises RealisationFailed for a link to any
    other store path, with the name of its own in the message, and OSError.
    """
    for tree in trees_of.values():
        trees.canonicalise(tree)
    sealed = {}
    with _flushing(next(iter(trees_of.values())), durable=durable):
        for path, tree in trees_of.items():
            own = os.path.basename(path)
            name = store_path.parse_name(own).name
            entries = _checked(tree, os.path.dirname(tree), name, {*allowed, own})
            sealed[path] = trees.digest(nar.dump(entries))
    return sealed


@contextmanager
def _flushing(path: str, *, durable: bool) -> Iterator[None]:
    """If `durable`, flush the file system of `path` while the block runs, so that disk and processor both work."""
    from threading import Thread

    refusals: list[OSError] = []

    def flush() -> None:
        try:
            files.sync_file_system(path)
        except OSError as error:
            refusals.append(error)

    thread = Thread(target=flush)
    if durable:
        thread.start()
    try:
        yield
    finally:
        if durable:
            thread.join()
    if refusals:
        raise refusals[0]


def _checked(top: str, directory: str, name: str, allowed: Collection[str]) -> Iterator[nar.Entry]:
    """Yield the entries of the tree at `top`; refuse a link to a store path that is not in `allowed`."""
    for entry in trees.archive_entries(top):
        if isinstance(entry, nar.Symlink):
            target = os.fsdecode(entry.target)
            destination = os.path.join(top, *map(os.fsdecode, entry.path[:-1]), target)
            for store in (directory, store_path.DIRECTORY):
                name_in_store = os.path.relpath(destination, store).split("/")[0]
                # Only a relative link may lead to `top` itself: the tree will be renamed to its store path.
                within_top = name_in_store == os.path.basename(top) and not target.startswith("/")
                if name_in_store not in {".", "..", *allowed} and not within_top:
                    shown = os.fsdecode(b"/".join(entry.path))
                    why = f"which is not among the references of `{name}`"
                    raise RealisationFailed(f"`{shown}` links to `{target}`, {why}")
        yield entry
