"""The archive that a layer is: the bytes of a tree, the same on every machine and at every time."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from esker.errors import ImageError
from esker.formats.oci import tar
from esker.host import files
from esker.host.trees import open_file
from esker.ship.image.unit import Directory, Entry, File, HardLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["CHUNK", "archive"]

CHUNK = 1 << 20
"""Bytes of every piece of an archive but the last: compressors may make other bytes of other pieces."""


def archive(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the archive of a tree in pieces of one size; raises ImageError for a source that is not as it should be."""
    waiting: list[bytes] = []
    held = 0
    for piece in _pieces(entries):
        waiting.append(piece)
        held += len(piece)
        if held >= CHUNK:
            data = b"".join(waiting)
            whole = held - held % CHUNK
            for start in range(0, whole, CHUNK):
                yield data[start : start + CHUNK]
            waiting = [data[whole:]]
            held -= whole
    if held:
        yield b"".join(waiting)


def _pieces(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        path = entry.path[1:]
        if isinstance(entry, File):
            yield from _file(entry, path)
        elif isinstance(entry, Directory):
            yield tar.header(tar.DIRECTORY, f"{path}/", mode=entry.mode, uid=entry.uid, gid=entry.gid)
        elif isinstance(entry, HardLink):
            yield tar.header(tar.HARD_LINK, path, mode=0, target=entry.target[1:])
        else:
            yield tar.header(tar.SYMBOLIC_LINK, path, mode=0o777, uid=entry.uid, gid=entry.gid, target=entry.target)
    yield tar.END


def _file(entry: File, path: str) -> Iterator[bytes]:
    if isinstance(entry.source, bytes):
        yield _header(entry, path, len(entry.source))
        yield entry.source
        yield tar.padding(len(entry.source))
        return
    with files.refused("read", entry.source, ImageError):
        descriptor = open_file(entry.source)
        try:
            size = os.fstat(descriptor).st_size
            yield _header(entry, path, size)
            left, content = size, hashlib.sha256()
            while left > 0 and (data := os.read(descriptor, min(left + 1, CHUNK))):  # 1 more: it may have grown
                left -= len(data)
                if entry.sha256:
                    content.update(data)
                yield data
            if left or entry.sha256 not in {"", content.hexdigest()}:
                raise ImageError(
                    f"`{entry.source}` was changed while it was put into an image", hint="make the image again"
                )
        finally:
            os.close(descriptor)
    yield tar.padding(size)


def _header(entry: File, path: str, size: int) -> bytes:
    return tar.header(tar.FILE, path, mode=entry.mode, uid=entry.uid, gid=entry.gid, size=size)
