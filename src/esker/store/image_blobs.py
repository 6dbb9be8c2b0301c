"""The blobs of images on this machine, and what keeps them from being collected.

    ROOT/images/blobs/sha256/HEX      a blob; a name that begins with a dot is one that is being written
    ROOT/var/esker/image-roots/NAME   a root: the blobs of the images that were made of one project

A root names the project's `.flox/image.lock`, and for each platform the blobs of the image that was made last. It
counts as long as that file is there. Whoever makes an image writes the root while it keeps collections out. What it
sends or copies after that is safe: blobs that were written within the last hour, and those of an image that another one
replaced within that time, stay too.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import StoreError
from esker.formats.nix import nixbase32
from esker.formats.untrusted import json_value
from esker.host import files
from esker.progress import reporting
from esker.store.verify import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.progress import Progress
    from esker.store.store import Store

__all__ = ["ROOTS", "Blob", "blobs", "damaged", "dead", "directory", "discard", "keep"]

ROOTS = "image-roots"
"""The directory of the roots, relative to the store's state."""
_YOUNG = 3600
_DAY = 86400
"""Seconds."""


class Blob(NamedTuple):
    """A blob on this machine."""

    path: str
    size: int
    """Bytes that removing it frees: none if a layout has the same file."""
    written: float


class _Made(NamedTuple):
    """An image that was made."""

    platform: str
    time: float
    digests: frozenset[str]


def directory(root: str) -> str:
    """Return where the blobs of the store below `root` lie."""
    return f"{root}/images/blobs"


def keep(store: Store, lock: str, images: Mapping[str, Iterable[str]]) -> None:
    """Keep blobs for the project whose lock of the image is at `lock`: by platform the digests of its new image.

    Call it within `store.using()`. Raises StoreError.
    """
    now = store.clock()
    above = f"{store.state}/{ROOTS}"
    file = f"{above}/{nixbase32.encode(sha256(os.fsencode(lock)).digest()[:20])}"
    before = _read(file)[1] if os.path.exists(file) else ()
    new = [_Made(platform, now, frozenset(digests)) for platform, digests in images.items()]
    same = {(each.platform, each.digests) for each in new}
    made = [each for each in _counting(before, now) if (each.platform, each.digests) not in same] + new
    data = {
        "version": 1,
        "lock": lock,
        "images": [{"platform": each.platform, "time": each.time, "digests": sorted(each.digests)} for each in made],
    }
    with files.refused("make", above, StoreError):
        files.make_directory(above)
    files.write(file, json.dumps(data, indent=1).encode() + b"\n", error=StoreError)


def blobs(store: Store) -> list[Blob]:
    """Return all blobs, sorted by path, with those that are being written; raises StoreError."""
    place = f"{directory(store.root)}/sha256"
    found = []
    with files.refused("read", place, StoreError):
        for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
            status = os.lstat(f"{place}/{name}")
            size = status.st_size if status.st_nlink == 1 else 0
            found.append(Blob(f"{place}/{name}", size, status.st_mtime))
    return found


def damaged(store: Store, progress: Progress | None = None) -> list[Damaged]:
    """Hash all blobs again, and return those that are not what their names say; raises StoreError."""
    found = []
    with reporting(progress) as listener:
        whole = [each.path for each in blobs(store) if not os.path.basename(each.path).startswith(".")]
        if whole:
            listener.begin("verifying blobs of images", total=len(whole), unit="blob")
        for path in whole:
            if reason := _damage(path):
                found.append(Damaged(path, reason))
            listener.advance()
    return found


def discard(store: Store, paths: Iterable[str]) -> None:
    """Delete blobs; an image that needs one makes it again. Raises StoreError."""
    with store.using():
        for path in paths:
            with files.refused("delete", path, StoreError), suppress(FileNotFoundError):
                os.unlink(path)


def dead(store: Store, *, remove_stale: bool) -> list[Blob]:
    """Return the blobs that nothing keeps; with `remove_stale`, roots of images that are no more are removed.

    The caller holds the store alone. Raises StoreError for a root that cannot be read, since it might keep any blob.
    """
    now = store.clock()
    kept = _kept(store, now, remove_stale=remove_stale)
    found = []
    for each in blobs(store):
        name = os.path.basename(each.path)
        age = _DAY if name.startswith(".") else _YOUNG
        if f"sha256:{name}" not in kept and each.written <= now - age:
            found.append(each)
    return found


def _damage(path: str) -> str:
    """Return what is wrong with a blob, or ""."""
    try:
        with open(path, "rb", opener=files.plain) as file:
            digest = file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:  # collected meanwhile
        return ""
    except OSError as error:
        return f"it cannot be read: {(error.strerror or str(error)).lower()}"
    return "" if digest == os.path.basename(path) else f"its contents have changed: its digest is sha256:{digest}"


def _kept(store: Store, now: float, *, remove_stale: bool) -> set[str]:
    above = f"{store.state}/{ROOTS}"
    with files.refused("read", above, StoreError):
        names = sorted(os.listdir(above)) if os.path.isdir(above) else []
    kept: set[str] = set()
    for name in names:
        if name.startswith("."):
            continue
        lock, made = _read(f"{above}/{name}")
        if os.path.lexists(lock):
            counting = _counting(made, now)
        else:
            counting = tuple(each for each in made if each.time > now - _YOUNG)
            if not counting and remove_stale:
                with files.refused("remove", f"{above}/{name}", StoreError):
                    os.unlink(f"{above}/{name}")
        kept.update(digest for each in counting for digest in each.digests)
    return kept


def _counting(made: Iterable[_Made], now: float) -> tuple[_Made, ...]:
    """Return the newest image of each platform, and the other ones that are young."""
    every = tuple(made)
    newest = {each.platform: each.time for each in sorted(every, key=lambda each: each.time)}
    return tuple(each for each in every if each.time == newest[each.platform] or each.time > now - _YOUNG)


def _read(file: str) -> tuple[str, tuple[_Made, ...]]:
    """Return the lock that a root names, and the images; raises StoreError if the file is damaged."""
    remedy = f"remove `{file}` and build the images of your projects again"
    try:
        data = json_value(files.read(file, error=StoreError, remedy=remedy), has_paths=True)
        made = tuple(
            _Made(str(each["platform"]), float(each["time"]), frozenset(map(str, each["digests"])))
            for each in data["images"]
        )
        return str(data["lock"]), made
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise StoreError(f"the root of images `{file}` is damaged", hint=remedy) from error
