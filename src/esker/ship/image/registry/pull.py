"""Fetching from a registry: the base of an image, whose digest is stated, and everything that it names checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import ImageError, RegistryError, UsageError
from esker.ship.image.bases import Kept, base_from
from esker.ship.image.registry.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.formats.oci.documents import Descriptor
    from esker.formats.oci.platform import Platform
    from esker.formats.oci.reference import Reference
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.image import Base
    from esker.ship.image.registry.client import Registry

__all__ = ["fetch_layers", "pull_base"]

_TOGETHER = 2


def pull_base(reference: Reference, platform: Platform, registry: Registry, kept: Blobs | None = None) -> Base:
    """Return the image with the digest that the reference states; its layers are fetched when they are needed.

    What is in `kept` is not asked for, and what is not is put there. Raises UsageError for a reference without a
    digest, RegistryError if it is not there, and what `base_from` raises.
    """
    if not reference.digest:
        raise UsageError(
            f"the base `{reference}` has no digest, so it may be another image tomorrow",
            hint=f"see the digest that it has now, and write it: esker image inspect {reference}",
        )
    origin = _Remote(Repository(registry, reference.path))
    return base_from(Kept(origin, kept) if kept else origin, reference, platform)


class _Remote:
    """A repository of a registry as an origin."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def document(self, digest: str) -> bytes:
        answer = self._repository.manifest(digest)
        if answer is None:
            raise RegistryError(
                f"`{self._repository.registry.host}` does not have `{digest}` of `{self._repository.path}`",
                hint="check the name and the digest of the base",
                status=404,
            )
        return answer[1]

    def small(self, descriptor: Descriptor) -> bytes:
        return self._repository.small_blob(descriptor)

    def fetch(self, blobs: Blobs, layers: Sequence[Descriptor]) -> None:
        fetch_layers(self._repository, blobs, layers)


def fetch_layers(repository: Repository, blobs: Blobs, layers: Sequence[Descriptor]) -> None:
    """Put layers into a directory of blobs, some at a time, each checked; raises ImageError."""
    repository.registry.together(lambda layer: _fetch(repository, layer, blobs), layers, at_once=_TOGETHER)


def _fetch(repository: Repository, layer: Descriptor, blobs: Blobs) -> None:
    """Fetch a layer; after a connection that broke, again from its beginning."""
    with blobs.adding(layer) as blob:

        def take(data: bytes) -> None:
            if blob.size + len(data) > layer.size:
                raise ImageError(
                    f"the layer `{layer.digest}` of `{repository.path}` is larger than its manifest says",
                    hint="take another base, or tell those who run the registry",
                )
            blob.write(data)

        repository.blob(layer, take, blob.restart)
