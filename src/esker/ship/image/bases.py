"""The image that another one begins with: named by its digest, and everything below that digest checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from esker.errors import CorruptedBlob, ImageError, Malformed
from esker.formats.counted import counted
from esker.formats.oci import config as config_document
from esker.formats.oci.documents import LARGEST_DOCUMENT, Index, Manifest, digest_of, document, oci_layer
from esker.host import files
from esker.ship.image.image import Base
from esker.ship.image.stored import read_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.formats.oci.documents import Descriptor
    from esker.formats.oci.platform import Platform
    from esker.formats.oci.reference import Reference
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.stored import Source

__all__ = ["Kept", "Origin", "Stored", "base_from"]

_MOST_LAYERS = 127


class Origin(Protocol):
    """Where a base comes from."""

    def document(self, digest: str) -> bytes:
        """Return the manifest or index of a digest; raises ImageError, and CorruptedBlob if it has another one."""

    def small(self, descriptor: Descriptor) -> bytes:
        """Return the configuration; raises ImageError, and CorruptedBlob if it is another one."""

    def fetch(self, blobs: Blobs, layers: Sequence[Descriptor]) -> None:
        """Put layers into a directory of blobs, each checked; raises ImageError."""


class Kept:
    """An origin whose documents are kept among blobs, so that each is asked for once on a machine."""

    def __init__(self, origin: Origin, blobs: Blobs) -> None:
        self._origin = origin
        self._blobs = blobs
        self.fetch = origin.fetch

    def document(self, digest: str) -> bytes:
        """Return the manifest or index of a digest."""
        try:
            data = files.read(self._blobs.path(digest), limit=LARGEST_DOCUMENT, error=ImageError)
        except ImageError:
            data = b""
        if digest_of(data) != digest:
            data = self._origin.document(digest)
            self._keep(data)
        return data

    def small(self, descriptor: Descriptor) -> bytes:
        """Return the configuration."""
        if self._blobs.has(descriptor):
            try:
                return self._blobs.read(descriptor)
            except CorruptedBlob:
                """What has been damaged here is fetched again."""
        data = self._origin.small(descriptor)
        self._keep(data)
        return data

    def _keep(self, data: bytes) -> None:
        """Put a document among the blobs, also in the place of a damaged one."""
        with self._blobs.adding() as blob:
            blob.write(data)


class Stored:
    """A layout or an archive as an origin."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def document(self, digest: str) -> bytes:
        """Return the manifest or index of a digest, which `index.json` or an index that it names has to name."""
        pending = [(each, False) for each in self._source.top()]
        while pending:
            descriptor, is_inner = pending.pop()
            if descriptor.digest == digest:
                return read_document(self._source, descriptor)
            if not is_inner:
                data = read_document(self._source, descriptor)
                content = document(data, f"`{descriptor.digest}` of `{self._source.name}`")
                pending += [(each, True) for each in content.manifests] if isinstance(content, Index) else []
        raise ImageError(f"`{self._source.name}` does not have `{digest}`", hint="check the path and the digest")

    def small(self, descriptor: Descriptor) -> bytes:
        """Return the configuration."""
        return read_document(self._source, descriptor)

    def fetch(self, blobs: Blobs, layers: Sequence[Descriptor]) -> None:
        """Put layers into a directory of blobs."""
        for layer in layers:
            with blobs.adding(layer) as blob:
                for piece in self._source.pieces(layer):
                    if blob.size + len(piece) > layer.size:
                        raise ImageError(
                            f"the layer `{layer.digest}` of `{self._source.name}` is larger than it says",
                            hint="get the base again from where it came from",
                        )
                    blob.write(piece)


def base_from(origin: Origin, reference: Reference, platform: Platform) -> Base:
    """Return the image with the digest of the reference; its layers are fetched when they are needed.

    From an index the image for the platform is taken. Raises CorruptedBlob if something is not what its digest says,
    Malformed, ImageError for another platform, and what the origin raises.
    """
    content = document(origin.document(reference.digest), f"`{reference}`")
    digest = reference.digest
    if isinstance(content, Index):
        digest = _chosen(content, reference, platform)
        content = document(origin.document(digest), f"`{reference}`")
    if not isinstance(content, Manifest):
        raise Malformed(f"`{reference}` names an index within an index", hint="take another base")
    number = counted(len(content.layers), "layer")
    if len(content.layers) > _MOST_LAYERS:
        raise Malformed(f"`{reference}` has {number}, and engines take {_MOST_LAYERS}", hint="take another base")
    if content.config.size > LARGEST_DOCUMENT:
        raise Malformed(
            f"the configuration of `{reference}` has more than {LARGEST_DOCUMENT >> 20} MiB", hint="take another base"
        )
    config = config_document.parse(origin.small(content.config), f"the configuration of `{reference}`")
    if len(config.diff_ids) != len(content.layers):
        raise Malformed(
            f"`{reference}` has {number}, and its configuration {len(config.diff_ids)}", hint="take another base"
        )
    if (config.platform.os, config.platform.architecture) != (platform.os, platform.architecture):
        raise ImageError(
            f"the base `{reference}` is for {config.platform}, and not for {platform}",
            hint="name the digest of an index that has both; or leave the platform out: `systems` of "
            "[plugins.esker.image]",
        )
    layers = tuple(oci_layer(each, f"`{reference}`") for each in content.layers)
    return Base(reference._replace(digest=digest), config, layers, origin.fetch)


def _chosen(content: Index, reference: Reference, platform: Platform) -> str:
    """Return the digest of the one image for a platform; the first, if several differ in their variants alone."""
    for each in content.manifests:
        if each.platform and (each.platform.os, each.platform.architecture) == (platform.os, platform.architecture):
            return each.digest
    offered = ", ".join(sorted(str(each.platform) for each in content.manifests if each.platform)) or "none"
    raise ImageError(f"the base `{reference}` is not there for {platform}", hint=f"it is there for {offered}")
