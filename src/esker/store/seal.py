"""Sealing: the last step of a build, which prepares the finished trees to become store paths.

It gives them the modes and times that all store paths have. It refuses links whose targets nothing would keep. Then it
hashes the trees and flushes them to disk.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import RealisationFailed
from esker.formats.nix import nar, store_path
from esker.host import files, trees
from esker.store.listing import LINK, PREFIX, check, digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from esker.store.listing import Listing

__all__ = ["seal"]


def seal(
    trees_of: Mapping[str, str], allowed: Collection[str], listings: Mapping[str, Listing], *, durable: bool
) -> dict[str, tuple[str, int]]:
    """Make trees canonical, flush them to disk if `durable`, and return each archive's hash and size in bytes.

    `trees_of` has for each store path the tree that will become it. All lie in the store's directory, and `allowed`
    names the other entries of that directory that their links may lead to. A tree with one of the `listings` is not
    read: it gets the listing's digest and the size of its files. Raises RealisationFailed for a link to any other store
    path, with the name of its own in the message, StoreError for a tree that is not as listed, and OSError.
    """
    for path, tree in trees_of.items():
        if path in listings:
            check(tree, listings[path])
        else:
            trees.canonicalise(tree)
    sealed = {}
    with _flushing(next(iter(trees_of.values())), durable=durable):
        for path, tree in trees_of.items():
            own = os.path.basename(path)
            name = store_path.parse_name(own).name
            may_lead_to = _Allowed(tree, os.path.dirname(tree), name, {*allowed, own})
            if path in listings:
                for place, entry in listings[path].entries.items():
                    if entry.kind == LINK:
                        may_lead_to.check(place, entry.value)
                found, size = digest(listings[path])
                sealed[path] = f"{PREFIX}{found.hex()}", size
            else:
                found, size = trees.digest(nar.dump(may_lead_to.checked()))
                sealed[path] = f"sha256:{found.hex()}", size
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


class _Allowed(NamedTuple):
    """Where the links of a tree may lead to."""

    top: str
    directory: str
    """The store's."""
    name: str
    """What messages call the tree."""
    names: Collection[str]
    """The entries of the store's directory."""

    def checked(self) -> Iterator[nar.Entry]:
        """Yield the entries of the tree, and check every link."""
        for entry in trees.archive_entries(self.top):
            if isinstance(entry, nar.Symlink):
                self.check(os.fsdecode(b"/".join(entry.path)), os.fsdecode(entry.target))
            yield entry

    def check(self, place: str, target: str) -> None:
        """Raise RealisationFailed if the link at `place` leads to a store path that it may not lead to."""
        destination = os.path.join(self.top, os.path.dirname(place), target)
        for store in (self.directory, store_path.DIRECTORY):
            name_in_store = os.path.relpath(destination, store).split("/")[0]
            # Only a relative link may lead to `top` itself: the tree will be renamed to its store path.
            within_top = name_in_store == os.path.basename(self.top) and not target.startswith("/")
            if name_in_store not in {".", "..", *self.names} and not within_top:
                why = f"which is not among the references of `{self.name}`"
                raise RealisationFailed(f"`{place}` links to `{target}`, {why}")
