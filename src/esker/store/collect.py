"""Collecting garbage: deleting the store paths, and the blobs of images, that nothing keeps."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed, StoreError
from esker.formats.nix import store_path
from esker.host import files
from esker.progress import reporting
from esker.store import image_blobs, roots, temporary_roots
from esker.store.store import TEMPORARY, TRASH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.progress import Progress
    from esker.store.store import Store

__all__ = ["Collected", "collect"]


class Collected(NamedTuple):
    """What a collection deleted or, in a dry run, would delete."""

    paths: tuple[str, ...]
    """Physical, sorted."""
    freed: int
    """Bytes on disk, those of blobs too; in a dry run, bytes of the paths' archives."""
    blobs: tuple[str, ...] = ()
    """Of images: the paths of their files, sorted."""
    unfinished: int = 0
    """How many more trees there were: those that killed processes left."""


def collect(
    store: Store,
    *,
    keep: int = 5,
    live: Iterable[str] | None = None,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> Collected:
    """Delete every path that no link, temporary root or running process needs, and what killed processes left behind.

    Blobs of images go too, unless a project's image has them. Each link keeps its current and its newest `keep`
    generations. `live` are the paths that processes use, by default what `roots.live` returns. This waits until nobody
    uses the store. Others may use it again while trees are removed.
    """
    if not _exists(store):
        return Collected((), 0)
    with reporting(progress) as listener:
        with store.alone(waiting=lambda: listener.begin("waiting until nobody uses the store")):
            used = roots.live(store) if live is None else live
            kept = store.closure({*roots.rooted(store, keep, remove_stale=not dry_run), *used})
            dead = sorted(set(store.paths()) - kept)
            blobs = image_blobs.dead(store, remove_stale=not dry_run)
            freed = sum(blob.size for blob in blobs)
            named = tuple(blob.path for blob in blobs)
            unfinished = _unfinished(store)
            if dry_run:
                freed += sum(store.record(path).nar_size for path in dead)
                return Collected(tuple(dead), freed, named, len(unfinished))
            for path in named:
                with files.refused("remove", path, StoreError):
                    os.unlink(path)
            trash = _left_over(store, unfinished)
            trash += [store.discard(store.parse(path)) for path in dead]
        listener.begin("deleting what nothing needs", total=len(trash), unit="path")
        for path in trash:
            freed += store.remove(path)
            listener.advance()
    return Collected(tuple(dead), freed, named, len(unfinished))


def _exists(store: Store) -> bool:
    """Return whether there is a store; raises StoreError if we cannot tell, as for one in a closed directory."""
    try:
        with files.refused("read", store.state, StoreError):
            os.stat(store.state)
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise
    return True


def _unfinished(store: Store) -> list[str]:
    """Return the trees that killed processes left."""
    trees = []
    with files.refused("collect", store.directory, StoreError):
        for name in os.listdir(store.directory):
            path = f"{store.directory}/{name}"
            if name.startswith((TEMPORARY, TRASH)):
                trees.append(path)
                continue
            with suppress(Malformed):  # a file that is not named like a store path is not ours, and stays
                store_path.parse_name(name)
                if not store.is_valid(path):
                    trees.append(path)
    return trees


def _left_over(store: Store, unfinished: Iterable[str]) -> list[str]:
    """Rename `unfinished` trees, delete all locks, which nobody holds now, and return the new names."""
    with files.refused("collect", store.directory, StoreError):
        trash = [store.throw_away(path) for path in unfinished]
        for directory in ("locks", "valid", "gcroots", temporary_roots.DIRECTORY, image_blobs.ROOTS):
            path = f"{store.state}/{directory}"
            for name in os.listdir(path) if os.path.exists(path) else ():
                # In the other directories, a leading dot marks the temporary file of a write that was killed.
                if directory == "locks" or name.startswith("."):
                    os.unlink(f"{path}/{name}")
    return trash
