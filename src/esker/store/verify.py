"""Verifying: checking that store paths have not changed since they were registered, and deleting those that have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed, StoreError
from esker.formats.nix import nar
from esker.host import trees
from esker.progress import reporting
from esker.store import listing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.progress import Progress
    from esker.store.record import PathInfo
    from esker.store.store import Store

__all__ = ["Damaged", "discard_damaged", "unusable", "verify"]


class Damaged(NamedTuple):
    """A path that has changed since it was registered, or cannot be read."""

    path: str
    reason: str


def verify(store: Store, paths: Iterable[str] | None = None, progress: Progress | None = None) -> list[Damaged]:
    """Hash `paths` again, by default every valid path, and return the damaged ones."""
    chosen = store.paths() if paths is None else list(paths)
    damaged = []
    hashes: dict[tuple[int, int], str] = {}
    with reporting(progress) as listener:
        listener.begin("verifying the store", total=len(chosen), unit="path")
        for path in chosen:
            reason = _damage(store, path, hashes)
            # A collection deletes the record first: a path that we listed and that has none now was collected.
            if reason and (paths is not None or os.path.exists(store.record_file(store.parse(path)))):
                damaged.append(Damaged(path, reason))
            listener.advance()
    return damaged


def unusable(store: Store, damaged: Iterable[Damaged]) -> list[str]:
    """Return damaged paths with every path that needs one of them, sorted."""
    gone = {each.path for each in damaged}
    while True:
        needs = {path: store.record(path).references for path in store.paths() if path not in gone}
        others = {path for path, needed in needs.items() if gone & {*needed} or not all(map(store.is_valid, needed))}
        if not others:
            return sorted(gone)
        gone |= others


def discard_damaged(store: Store, damaged: Iterable[Damaged]) -> list[str]:
    """Delete damaged paths with every path that needs one of them, and return them all, sorted.

    The links of projects to a deleted path then lead nowhere, by which the next activation sees that it has to build.
    """
    with store.using():
        gone = unusable(store, damaged)
        for path in gone:
            store.invalidate(path)
    return gone


def _damage(store: Store, path: str, hashes: dict[tuple[int, int], str]) -> str | None:
    try:
        info = store.record(path)
        found = _contents(info, hashes)
        changed = next(trees.with_another_mode(info.path), None)
    except (StoreError, Malformed) as error:
        return error.message
    except OSError as error:
        return f"`{os.fsdecode(error.filename or path)}`: {(error.strerror or str(error)).lower()}"
    if found != (info.nar_hash, info.nar_size):
        return f"its contents have changed: its hash is {found[0]}, but {info.nar_hash} was registered"
    return f"`{changed}` has another mode than the one that was registered" if changed else None


def _contents(info: PathInfo, hashes: dict[tuple[int, int], str]) -> tuple[str, int]:
    """Return hash and size of a path, made as those in its record were."""
    if info.nar_hash.startswith(listing.PREFIX):
        digest, size = listing.digest(listing.listing(info.path, hashes))
        return f"{listing.PREFIX}{digest.hex()}", size
    digest, size = trees.digest(nar.dump(trees.archive_entries(info.path)))
    return f"sha256:{digest.hex()}", size
