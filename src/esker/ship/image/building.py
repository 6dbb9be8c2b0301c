"""Making layers: each is listed, archived, hashed, compressed and hashed again in one pass, several at a time.

The work is done in threads: reading, hashing and compressing let other threads run, and with pieces of 1 MiB two
threads keep two processors busy.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.progress import reporting
from esker.ship.image.archive import archive
from esker.ship.image.tree import tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.progress import Progress
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.codec import Codec
    from esker.ship.image.planning import PlannedLayer

__all__ = ["MadeLayer", "make_layers"]


class MadeLayer(NamedTuple):
    """What a layer came to."""

    digest: str
    size: int
    """Bytes of the blob."""
    diff_id: str
    """The digest of the archive before it was compressed."""


def make_layers(
    layers: Sequence[PlannedLayer], codec: Codec, blobs: Blobs, *, jobs: int = 2, progress: Progress | None = None
) -> dict[str, MadeLayer]:
    """Make layers, `jobs` at a time and the largest first, and return what each key came to.

    The first failure ends the work. Raises ImageError.
    """
    ordered = sorted(layers, key=lambda layer: (-layer.size, layer.key))
    with reporting(progress) as listener:
        if ordered:
            listener.begin("Making layers", total=len(ordered), unit="layer")
        if jobs == 1 or len(ordered) == 1:
            made = {}
            for layer in ordered:
                made[layer.key] = _make(layer, codec, blobs)
                listener.advance()
            return made
        with ThreadPoolExecutor(max(jobs, 1), thread_name_prefix="esker-layer") as pool:
            ended = Event()
            futures = {layer.key: pool.submit(_make, layer, codec, blobs, ended) for layer in ordered}
            try:
                for future in futures.values():
                    future.result()
                    listener.advance()
            except BaseException:
                ended.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            return {key: future.result() for key, future in futures.items()}


def _make(layer: PlannedLayer, codec: Codec, blobs: Blobs, ended: Event | None = None) -> MadeLayer:
    """Make a layer, unless the work is `ended` meanwhile."""
    before = hashlib.sha256()
    compressor = codec.compressor()
    with blobs.adding() as blob:
        for piece in archive(tree(layer.units)):
            if ended is not None and ended.is_set():
                raise ImageError(f"the layer `{layer.name}` was not made to its end")
            before.update(piece)
            if data := compressor.compress(piece):
                blob.write(data)
        blob.write(compressor.flush())
    return MadeLayer(blob.digest, blob.size, f"sha256:{before.hexdigest()}")
