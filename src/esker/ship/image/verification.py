"""Checking an image from the beginning: every digest in it is computed again, and every layer is unpacked for that."""

from __future__ import annotations

import hashlib
import sys
import zlib
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import CorruptedBlob, HostError, ImageError
from esker.ship.image.stored import stored_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from esker.formats.oci.documents import Descriptor
    from esker.progress import Progress
    from esker.ship.image.stored import Source, StoredImage

__all__ = ["Verification", "verify"]

_CHUNK = 1 << 20
_GZIP_WINDOW = 31


class Verification(NamedTuple):
    """What was found."""

    images: tuple[StoredImage, ...]
    blobs: int
    """How many layers were read."""
    size: int
    """Their bytes."""
    faults: tuple[ImageError, ...]
    """One for each layer that is not what its digests say, or not there."""


def verify(source: Source, *, progress: Progress | None = None) -> Verification:
    """Compute all digests of the images of a source, before and after compression.

    Raises CorruptedBlob for a manifest, an index or a configuration, because nothing below it can be known then.
    """
    images = stored_images(source)
    layers = {
        (layer.digest, diff_id): layer
        for image in images
        for layer, diff_id in zip(image.manifest.layers, image.config.diff_ids, strict=True)
    }
    faults: list[ImageError] = []
    if progress and layers:
        progress.begin(f"Checking {source.name}", total=len(layers), unit="layers")
    for (_, diff_id), layer in layers.items():
        try:
            _verify(source, layer, diff_id)
        except ImageError as fault:
            faults.append(fault)
        if progress:
            progress.advance()
    if progress:
        progress.end()
    return Verification(images, len(layers), sum(layer.size for layer in layers.values()), tuple(faults))


def _verify(source: Source, layer: Descriptor, diff_id: str) -> None:
    before, after, size = hashlib.sha256(), hashlib.sha256(), 0

    def read() -> Iterator[bytes]:
        nonlocal size
        for piece in source.pieces(layer):
            after.update(piece)
            size += len(piece)
            yield piece

    broken = ""
    pieces = read()
    try:
        for piece in _plain(pieces, layer.media_type):
            before.update(piece)
    except _Broken as error:
        broken = str(error)
    for _ in pieces:
        """What follows the end of the compressed data, or the place where it is broken, is hashed too."""
    digest = f"sha256:{after.hexdigest()}"
    if size != layer.size:
        raise _corrupted(layer, f"it has {size} bytes, and not {layer.size}")
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
        hint = "install Esker with it: python -m pip install 'esker[image]'"
        raise HostError("a layer is compressed by zstd, and `backports.zstd` is not installed", hint=hint) from error
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
