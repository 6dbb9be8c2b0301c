"""Sealing: what becomes of a tree that a build has filled, before it is a store path.

The tree gets the modes and times that all store paths have, is checked for links that nothing would keep, hashed, and
flushed to disk.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed
from esker.formats.nix import nar, store_path
from esker.host import files, trees

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["seal"]


def seal(top: str, name: str, allowed: Collection[str], *, durable: bool) -> tuple[bytes, int]:
    """Make the tree at `top` canonical, flush it to disk if `durable`, and return its archive's hash and size.

    `top` lies in the store's directory. Its links may lead to the entries of that directory in `allowed`. Raises
    RealisationFailed, which names the store path's `name`, for a link to any other, and OSError.
    """
    trees.canonicalise(top)
    with _flushing(top, durable=durable):
        return trees.digest(nar.dump(_checked(top, os.path.dirname(top), name, allowed)))


@contextmanager
def _flushing(path: str, *, durable: bool) -> Iterator[None]:
    """Flush the file system of `path` during the block, if `durable`: disk and processor work at once."""
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
    """Yield the entries at `top`; refuse a link that leads to a store path which nothing would keep for it."""
    for entry in trees.entries(top):
        if isinstance(entry, nar.Symlink):
            target = os.fsdecode(entry.target)
            place = os.path.join(top, *map(os.fsdecode, entry.path[:-1]), target)
            for store in (directory, store_path.DIRECTORY):
                inside = os.path.relpath(place, store).split("/")[0]
                own = inside == os.path.basename(top) and not target.startswith("/")
                if inside not in {".", "..", *allowed} and not own:
                    shown = os.fsdecode(b"/".join(entry.path))
                    why = f"which is not among the references of `{name}`"
                    raise RealisationFailed(f"`{shown}` links to `{target}`, {why}")
        yield entry
