"""Giving back the room of store paths that nothing keeps."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed, StoreError
from esker.formats.nix import store_path
from esker.host import files
from esker.progress import Progress, Silent
from esker.store import roots, temporary_roots
from esker.store.store import TEMPORARY, TRASH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.store.store import Store

__all__ = ["Collected", "collect"]


class Collected(NamedTuple):
    """What a collection took away, or would."""

    paths: tuple[str, ...]
    """Physical, sorted."""
    freed: int
    """Bytes on disk; of a dry run, bytes of the paths' archives."""


def collect(
    store: Store,
    *,
    keep: int = 5,
    live: Iterable[str] | None = None,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> Collected:
    """Delete what no link's newest `keep` generations, temporary root or process needs, and what killed processes left.

    `live` are the paths in use, by default those of `roots.live`. Waits until nobody uses the store; while trees are
    being removed, others may use it again.
    """
    listener = progress or Silent()
    if not os.path.isdir(store.state):
        return Collected((), 0)
    with store.alone(waiting=lambda: listener.begin("waiting until nobody uses the store")):
        used = roots.live(store) if live is None else live
        kept = store.closure({*roots.rooted(store, keep, forget=not dry_run), *used})
        dead = sorted(set(store.paths()) - kept)
        if dry_run:
            return Collected(tuple(dead), sum(store.record(path).nar_size for path in dead))
        trash = _left_over(store)  # first: what is discarded would be found again
        trash += [store.discard(store.parse(path)) for path in dead]
    listener.begin("deleting what nothing needs", total=len(trash), unit="paths")
    freed = 0
    for path in trash:
        freed += store.remove(path)
        listener.advance()
    listener.end()
    return Collected(tuple(dead), freed)


def _left_over(store: Store) -> list[str]:
    """Throw away what killed processes left, and the locks, which nobody holds now."""
    found = []
    with files.refused("collect", store.directory, StoreError):
        for name in os.listdir(store.directory):
            path = f"{store.directory}/{name}"
            if name.startswith((TEMPORARY, TRASH)):
                found.append(store.throw_away(path))
                continue
            with suppress(Malformed):  # somebody else's file stays
                store_path.parse_name(name)
                if not store.is_valid(path):
                    found.append(store.throw_away(path))
        for directory in ("locks", "valid", "gcroots", temporary_roots.DIRECTORY):
            place = f"{store.state}/{directory}"
            for name in os.listdir(place) if os.path.exists(place) else ():
                if directory == "locks" or name.startswith("."):
                    os.unlink(f"{place}/{name}")
    return found
