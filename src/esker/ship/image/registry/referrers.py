"""What is attached to an image in a registry, such as its SBOM: a manifest of its own that names the image.

A registry of today keeps a list of what refers to a manifest, and says by the header `OCI-Subject` that it has added to
it. For a registry that does not, the list is an index under the tag `sha256-HEX`, which we change ourselves.

Specification: OCI distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        earlier = [each for each in _tagged(repository, subject.digest) if each.digest != descriptor.digest]
        repository.put_manifest(_tag(subject.digest), index([*earlier, descriptor]), INDEX)
    return descriptor.digest, True


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
