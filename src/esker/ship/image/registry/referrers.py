"""What is attached to an image in a registry, such as its SBOM: a manifest of its own that names the image.

A registry of today keeps a list of what refers to a manifest, and says by the header `OCI-Subject` that it has added to
it. For a registry that does not, the list is an index under the tag `sha256-HEX`, which we change ourselves.

Specification: OCI distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import RegistryError
from esker.formats.oci.documents import (
    EMPTY,
    INDEX,
    MANIFEST,
    NOTHING,
    Descriptor,
    Index,
    attachment,
    describe,
    document,
    index,
)

if TYPE_CHECKING:
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.registry.repository import Repository

__all__ = ["attach", "referrers"]

_HAS_ADDED = "oci-subject"
_ATTEMPTS = 5
"""How often the list under the tag is written, if others write it too."""


def attach(
    repository: Repository, subject: Descriptor, artifact_type: str, data: bytes, blobs: Blobs
) -> tuple[str, bool]:
    """Attach data to a manifest of the repository; return the digest of the new manifest, and whether it is new.

    `subject` names a manifest that the repository has. Raises RegistryError.
    """
    content = describe(data, artifact_type)
    written = attachment(artifact_type, content, _plain(subject))
    descriptor = describe(written, MANIFEST, artifact_type=artifact_type)
    if descriptor.digest in {each.digest for each in referrers(repository, subject.digest)}:
        return descriptor.digest, False
    for each, its_data in ((content, data), (describe(NOTHING, EMPTY), NOTHING)):
        if not repository.has_blob(each):
            blobs.add(its_data)
            repository.upload(each, blobs)
    answer = repository.put_manifest(descriptor.digest, written, MANIFEST)
    if _HAS_ADDED not in answer.headers:
        _list(repository, subject.digest, descriptor)
    return descriptor.digest, True


def _list(repository: Repository, digest: str, attached: Descriptor) -> None:
    """Add what is attached to the list under the tag.

    A registry replaces a tag whatever it named before, so another push at the same time can write a list without our
    entry. So the list is read again, and written again if need be.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        others = [each for each in _tagged(repository, digest) if each.digest != attached.digest]
        repository.put_manifest(_tag(digest), index([*others, attached]), INDEX)
        if attached.digest in {each.digest for each in _tagged(repository, digest)}:
            return
        repository.registry.wait(attempt)
    raise RegistryError(
        f"`{repository.registry.host}` does not keep what is attached to `{digest}`: others replace its list",
        hint="push once more when no other push is at work",
    )


def referrers(repository: Repository, digest: str) -> tuple[Descriptor, ...]:
    """Return what is attached to a manifest; raises RegistryError and Malformed."""
    listed = repository.referrers(digest)
    if listed is None:
        return _tagged(repository, digest)
    return _manifests(listed, f"the list of what refers to `{digest}`")


def _tagged(repository: Repository, digest: str) -> tuple[Descriptor, ...]:
    answer = repository.manifest(_tag(digest))
    return _manifests(answer[1], f"`{_tag(digest)}` of `{repository.path}`") if answer else ()


def _manifests(data: bytes, name: str) -> tuple[Descriptor, ...]:
    content = document(data, name)
    return content.manifests if isinstance(content, Index) else ()


def _tag(digest: str) -> str:
    return digest.replace(":", "-")


def _plain(subject: Descriptor) -> Descriptor:
    """Return a descriptor without a platform, so that what is attached has one digest."""
    return Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size)
