"""Sending images to a registry: only what it does not have, and nothing at all if it has them already.

What the tag names now is asked for first. If it is what would be sent, that is all. Else the blobs that it names need
not be asked for one by one. Of the others each is asked for, then mounted from the repository of the base if it comes
from there, and else made, if this machine does not have it, and uploaded, some at a time.

Specification: OCI distribution-spec v1.1, "Pushing".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed, RegistryError, UsageError
from esker.formats.oci.documents import (
    INDEX,
    MANIFEST,
    Descriptor,
    Manifest,
    describe,
    document,
)
from esker.progress import reporting
from esker.ship.image.layout import index_of
from esker.ship.image.registry.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from esker.formats.oci.reference import Reference
    from esker.progress import Progress
    from esker.ship.image.image import Builder, Image
    from esker.ship.image.registry.client import Registry

__all__ = ["Pushed", "push"]

_TOGETHER = 6
"""How many blobs are asked for or sent at a time: a registry computes digests, and its network waits."""
_UNKNOWN_BLOB = (400, 404)
"""How registries refuse a manifest that names a blob which they do not have."""


class Pushed(NamedTuple):
    """What was sent."""

    digest: str
    """Of the manifest, or of the index of several."""
    changed: bool
    """Whether the tag named something else before."""
    uploaded: tuple[Descriptor, ...] = ()
    mounted: tuple[Descriptor, ...] = ()


def push(
    reference: Reference,
    images: Sequence[Image],
    builder: Builder,
    registry: Registry,
    *,
    progress: Progress | None = None,
) -> Pushed:
    """Have the registry keep images under a name: one manifest, or an index of several.

    Raises UsageError for a name without a registry, RegistryError and ImageError.
    """
    if not reference.registry or reference.digest:
        hint = "name it as registry.example/app:1.0, or give it such a `name` in [plugins.esker.image]"
        raise UsageError(f"`{reference}` is no name that an image can be pushed to", hint=hint)
    repository = Repository(registry, reference.path, push=True)
    top = images[0].manifest if len(images) == 1 else index_of(images)
    descriptor = describe(top, MANIFEST if len(images) == 1 else INDEX)
    with reporting(progress) as listener:
        current = repository.manifest(reference.label)
        if current is not None and current[0].digest == descriptor.digest:
            return Pushed(descriptor.digest, changed=False)
        there = {each.digest for each in _named_by(repository, current)}
        sending = _Sending(repository, images, builder, listener)
        sending.send(there)
        try:
            _put(repository, images, top, descriptor, reference.label)
        except RegistryError as error:
            if error.status not in _UNKNOWN_BLOB or not there:
                raise
            sending.send(set())  # the registry has lost blobs of what the tag names
            _put(repository, images, top, descriptor, reference.label)
    return Pushed(descriptor.digest, changed=True, uploaded=tuple(sending.uploaded), mounted=tuple(sending.mounted))


def _put(repository: Repository, images: Sequence[Image], top: bytes, descriptor: Descriptor, label: str) -> None:
    if len(images) > 1:
        for image in images:
            repository.put_manifest(image.descriptor.digest, image.manifest, MANIFEST)
    repository.put_manifest(label, top, descriptor.media_type)


def _named_by(repository: Repository, current: tuple[Descriptor, bytes] | None) -> Iterable[Descriptor]:
    """Yield the blobs that a manifest or an index in the repository names, as far as it can be read."""
    pending = [current]
    while pending:
        entry = pending.pop()
        if entry is None:
            continue
        try:
            content = document(entry[1], f"`{entry[0].digest}`")
        except Malformed:  # whatever the tag names, it is replaced
            continue
        if isinstance(content, Manifest):
            yield content.config
            yield from content.layers
        elif entry is current:
            pending += [repository.manifest(each.digest) for each in content.manifests]


class _Sending:
    """The blobs of images on their way to a repository."""

    def __init__(self, repository: Repository, images: Sequence[Image], builder: Builder, progress: Progress) -> None:
        self._repository = repository
        self._images = images
        self._builder = builder
        self._progress = progress
        self._homes = {
            layer.descriptor.digest: image.base.reference.path
            for image in images
            if image.base is not None and image.base.reference.registry == repository.registry.host
            for layer in image.layers
            if layer.planned is None
        }
        """The repositories of this registry that have a blob, by its digest."""
        self.uploaded: list[Descriptor] = []
        self.mounted: list[Descriptor] = []

    def send(self, there: set[str]) -> None:
        """Send all blobs but those that are there."""
        blobs = {
            each.digest: each
            for image in self._images
            for each in (image.config_descriptor, *(layer.descriptor for layer in image.layers))
        }
        unknown = [each for digest, each in blobs.items() if digest not in there]
        registry = self._repository.registry
        locations = registry.together(self._asked, unknown, at_once=_TOGETHER)
        missing = [(each, place) for each, place in zip(unknown, locations, strict=True) if place is not None]
        if missing:
            self._builder.provide(self._images, [each.digest for each, _ in missing])
            self._progress.begin(f"Sending to {registry.host}", total=len(missing), unit="blob")
            missing.sort(key=lambda pair: -pair[0].size)
            registry.together(self._uploaded, missing, at_once=_TOGETHER)

    def _asked(self, blob: Descriptor) -> str | None:
        """Return None for a blob that the repository has now, or where it is to be uploaded, "" for anywhere."""
        if self._repository.has_blob(blob):
            return None
        home = self._homes.get(blob.digest)
        if home is None:
            return ""
        location = self._repository.mount(blob, home)
        if location:
            return location
        self.mounted.append(blob)
        return None

    def _uploaded(self, pair: tuple[Descriptor, str]) -> None:
        blob, location = pair
        self._repository.upload(blob, self._builder.blobs, location)
        self.uploaded.append(blob)
        self._progress.advance()
