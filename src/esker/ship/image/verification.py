"""Checking an image from the beginning: every digest in it is computed again, and every layer is unpacked for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError, RegistryError
from esker.ship.image.layer_archives import layer_archive
from esker.ship.image.stored import stored_images

if TYPE_CHECKING:
    from esker.formats.oci.documents import Descriptor
    from esker.progress import Progress
    from esker.ship.image.stored import Source, StoredImage

__all__ = ["Verification", "verify"]

_NOT_THERE = 404


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

    Raises CorruptedBlob for a manifest, an index or a configuration, because nothing below it can be known then, and
    ImageError for a blob that cannot be read: nobody knows then if it is right.
    """
    images = stored_images(source)
    layers = {
        (layer.digest, diff_id): layer
        for image in images
        for layer, diff_id in zip(image.manifest.layers, image.config.diff_ids, strict=True)
    }
    faults: list[ImageError] = []
    if progress and layers:
        progress.begin(f"Checking {source.name}", total=len(layers), unit="layer")
    for (_, diff_id), layer in layers.items():
        try:
            _verify(source, layer, diff_id)
        except ImageError as fault:
            if not _is_of_the_image(fault):
                raise
            faults.append(fault)
        if progress:
            progress.advance()
    if progress:
        progress.end()
    return Verification(images, len(layers), sum(layer.size for layer in layers.values()), tuple(faults))


def _is_of_the_image(fault: ImageError) -> bool:
    """Return whether a fault is the image's, and not that of a registry, a network or a disk."""
    if isinstance(fault, RegistryError):
        return fault.status == _NOT_THERE
    return not isinstance(fault.__cause__, OSError) or isinstance(fault.__cause__, FileNotFoundError)


def _verify(source: Source, layer: Descriptor, diff_id: str) -> None:
    for _ in layer_archive(source.pieces(layer), layer, diff_id):
        """The digests are compared at the end."""
