"""The archives in layers: unpacked piece by piece, and compared with every digest that the image states of them."""

from __future__ import annotations

import hashlib
import sys
import zlib
from typing import TYPE_CHECKING

from esker.errors import CorruptedBlob, HostError
from esker.formats.counted import counted
from esker.host.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from esker.formats.oci.documents import Descriptor

__all__ = ["layer_archive"]

_CHUNK = 1 << 20
_GZIP_WINDOW = 31


def layer_archive(pieces: Iterator[bytes], layer: Descriptor, diff_id: str) -> Iterator[bytes]:
    """Yield the archive in a layer, whose blob comes in pieces, in pieces of a limited size.

    At the end, and not before, raises CorruptedBlob unless the blob and the archive are what their digests name.
    """
    before, after, size = hashlib.sha256(), hashlib.sha256(), 0

    def read() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            after.update(piece)
            size += len(piece)
            yield piece

    broken = ""
    compressed = read()
    try:
        for piece in _plain(compressed, layer.media_type):
            before.update(piece)
            yield piece
    except _Broken as error:
        broken = str(error)
    for _ in compressed:
        """What follows the end of the compressed data, or the place where it is broken, is hashed too."""
    digest = f"sha256:{after.hexdigest()}"
    if size != layer.size:
        raise _corrupted(layer, f"it has {counted(size, 'byte')}, and not {layer.size}")
    if digest != layer.digest:
        raise _corrupted(layer, f"its digest is {digest}")
    if broken:
        raise _corrupted(layer, f"it cannot be unpacked: {broken}")
    if f"sha256:{before.hexdigest()}" != diff_id:
        raise _corrupted(layer, f"unpacked, its digest is sha256:{before.hexdigest()}, and not {diff_id}")


def _corrupted(layer: Descriptor, fault: str) -> CorruptedBlob:
    hint = "do not use the image; make it again, or get it again from where it came from"
    return CorruptedBlob(f"the blob `{layer.digest}` is corrupted: {fault}", hint=hint, digest=layer.digest)


class _Broken(Exception):
    """Compressed data do not follow their format."""


def _plain(pieces: Iterator[bytes], media_type: str) -> Iterator[bytes]:
    """Yield the archive in a blob, in pieces of a limited size, however small the blob is."""
    if media_type.endswith("gzip"):
        return _unpacked(pieces, lambda: zlib.decompressobj(_GZIP_WINDOW), zlib.error)
    if media_type.endswith("zstd"):
        return _unzstd(pieces)
    return pieces


def _unpacked(
    pieces: Iterator[bytes], member: Callable[[], zlib._Decompress], error_type: type[Exception]
) -> Iterator[bytes]:
    unpacker = member()
    has_begun = False
    for piece in pieces:
        data = piece
        while data:
            if unpacker.eof:
                unpacker = member()
            has_begun = True
            try:
                unpacked = unpacker.decompress(data, _CHUNK)
            except error_type as error:
                raise _Broken(str(error)) from error
            if unpacked:
                yield unpacked
            data = unpacker.unconsumed_tail or unpacker.unused_data
    if not has_begun or not unpacker.eof:
        raise _Broken("it ends too early")


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        message = "a layer is compressed by zstd, and `backports.zstd` is not installed"
        raise HostError(message, hint=how_to_install("image")) from error
    unpacker = zstd.ZstdDecompressor()
    for piece in pieces:
        data = piece
        while data or not (unpacker.needs_input or unpacker.eof):
            if unpacker.eof:
                unpacker = zstd.ZstdDecompressor()
            try:
                unpacked = unpacker.decompress(data, _CHUNK)
            except zstd.ZstdError as error:
                raise _Broken(str(error)) from error
            if unpacked:
                yield unpacked
            data = unpacker.unused_data if unpacker.eof else b""
    if not unpacker.eof:
        raise _Broken("it ends too early")
