"""Fetching from a registry: the base of an image, whose digest is stated, and everything that it names checked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from esker.errors import ImageError, Malformed, RegistryError, UsageError
from esker.formats.oci import config as config_document
from esker.formats.oci.documents import Index, Manifest, document
from esker.ship.image.image import Base
from esker.ship.image.registry.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.formats.oci.documents import Descriptor
    from esker.formats.oci.platform import Platform
    from esker.formats.oci.reference import Reference
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.registry.client import Registry

__all__ = ["pull_base"]

_TOGETHER = 2
_MOST_LAYERS = 127


def pull_base(reference: Reference, platform: Platform, registry: Registry) -> Base:
    """Return the image with the digest that the reference states; its layers are fetched when they are needed.

    From an index the image for the platform is taken. Raises UsageError for a reference without a digest, RegistryError
    if it is not there, CorruptedBlob if it is not what its digest says, Malformed, and ImageError for another platform.
    """
    if not reference.digest:
        raise UsageError(
            f"the base `{reference}` has no digest, so it may be another image tomorrow",
            hint=f"write {reference.name}@sha256:… as its registry shows it",
        )
    repository = Repository(registry, reference.path)
    content = _document(repository, reference, reference.digest)
    digest = reference.digest
    if isinstance(content, Index):
        digest = _chosen(content, reference, platform)
        content = _document(repository, reference, digest)
    if not isinstance(content, Manifest):
        raise Malformed(f"`{reference}` names an index within an index")
    if len(content.layers) > _MOST_LAYERS:
        raise Malformed(f"`{reference}` has {len(content.layers)} layers, and engines take {_MOST_LAYERS}")
    config = config_document.parse(repository.small_blob(content.config), f"the configuration of `{reference}`")
    if len(config.diff_ids) != len(content.layers):
        raise Malformed(f"`{reference}` has {len(content.layers)} layers, and its configuration {len(config.diff_ids)}")
    if (config.platform.os, config.platform.architecture) != (platform.os, platform.architecture):
        raise ImageError(f"the base `{reference}` is for {config.platform}, and not for {platform}")

    def fetch(blobs: Blobs, layers: Sequence[Descriptor]) -> None:
        with ThreadPoolExecutor(_TOGETHER, thread_name_prefix="esker-registry") as pool:
            for future in [pool.submit(_fetch, repository, each, blobs) for each in layers]:
                future.result()

    return Base(reference._replace(digest=digest), config, content.layers, fetch)


def _document(repository: Repository, reference: Reference, digest: str) -> Manifest | Index:
    answer = repository.manifest(digest)
    if answer is None:
        raise RegistryError(
            f"`{repository.registry.host}` does not have `{digest}` of `{reference.path}`",
            hint="check the name and the digest of the base",
            status=404,
        )
    return document(answer[1], f"`{reference}`")


def _chosen(content: Index, reference: Reference, platform: Platform) -> str:
    """Return the digest of the one image for a platform; the first, if several differ in their variants alone."""
    for each in content.manifests:
        if each.platform and (each.platform.os, each.platform.architecture) == (platform.os, platform.architecture):
            return each.digest
    offered = ", ".join(sorted(str(each.platform) for each in content.manifests if each.platform)) or "none"
    raise ImageError(f"the base `{reference}` is not there for {platform}", hint=f"it is there for {offered}")


def _fetch(repository: Repository, layer: Descriptor, blobs: Blobs) -> None:
    """Fetch a layer; after a connection that broke, again from its beginning."""
    with blobs.adding(layer) as blob:

        def take(data: bytes) -> None:
            if blob.size + len(data) > layer.size:
                raise ImageError(f"the layer `{layer.digest}` of `{repository.path}` is larger than its manifest says")
            blob.write(data)

        repository.blob(layer, take, blob.restart)
