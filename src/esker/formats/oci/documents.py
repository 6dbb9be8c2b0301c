"""The JSON documents of an image: its manifest, the index of several, and Docker's `manifest.json` in an archive.

A manifest names the configuration and the layers of an image for one platform, in their order. An index names
manifests, each with its platform. Every name is a descriptor: the media type, the SHA-256 and the size of the bytes
that are meant. So the digest of a manifest or an index stands for everything below it.

Specification: OCI image-spec v1.1, `manifest.md`, `image-index.md`, `descriptor.md`, `image-layout.md`; Docker's
"Image Manifest Version 2, Schema 2", which differs in its media types alone. Oddities: what we write is canonical
(sorted keys, no spaces), and what we read need not be; a document without `mediaType` is known by its keys; layers that
are to be fetched from addresses of their own (`urls`) are refused, and so is every hash but SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from esker.errors import Malformed
from esker.formats.oci.platform import Platform
from esker.formats.printable import printable
from esker.formats.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "BASE_DIGEST",
    "BASE_NAME",
    "CONFIG",
    "DOCKER_INDEX",
    "DOCKER_MANIFEST",
    "EMPTY",
    "INDEX",
    "LARGEST_DOCUMENT",
    "LAYER",
    "LAYOUT",
    "MANIFEST",
    "NOTHING",
    "Descriptor",
    "Index",
    "Manifest",
    "attachment",
    "canonical",
    "describe",
    "digest_of",
    "docker_archive",
    "document",
    "index",
    "manifest",
    "oci_layer",
]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
"""Followed by `+gzip` or `+zstd` if the archive is compressed."""
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY = "application/vnd.oci.empty.v1+json"
NOTHING = b"{}"
"""The configuration of what is no image."""
_LAYERS = {
    f"{prefix}{suffix}": f"{LAYER}{ours}"
    for prefix, dotted in ((LAYER, "+"), ("application/vnd.docker.image.rootfs.diff.tar", "."))
    for suffix, ours in (("", ""), (f"{dotted}gzip", "+gzip"), (f"{dotted}zstd", "+zstd"))
}
"""OCI's words for layers by its own and Docker's."""
BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"
"""The annotations by which a manifest says with which image it begins."""
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
"""The content of the file `oci-layout`."""
LARGEST_DOCUMENT = 4 << 20
"""Bytes of a manifest or an index, as registries limit them."""

Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What names some bytes."""

    media_type: str
    digest: Digest
    size: Size
    platform: Platform | None = None
    annotations: dict[str, str] = {}
    artifact_type: str = ""
    urls: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """An image for one platform, or something that is attached to an image."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}
    artifact_type: str = ""
    subject: Descriptor | None = None
    """What this is attached to; none for an image."""


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Several manifests."""

    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}


def canonical(value: object) -> bytes:
    r"""Return a JSON value as bytes, always the same for the same value.

    >>> canonical({"b": [1, "é"], "a": None})
    b'{"a":null,"b":[1,"\xc3\xa9"]}'
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def digest_of(data: bytes) -> str:
    """Return the digest of bytes, `sha256:…`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def describe(data: bytes, media_type: str, **fields: Any) -> Descriptor:
    """Return what names these bytes; `fields` are more fields of a descriptor."""
    return Descriptor(media_type=media_type, digest=digest_of(data), size=len(data), **fields)


def manifest(config: Descriptor, layers: Iterable[Descriptor], annotations: Mapping[str, str] | None = None) -> bytes:
    """Return the manifest of an image."""
    content = Manifest(config=config, layers=tuple(layers), annotations=dict(annotations or {}))
    return _written(MANIFEST, content)


def attachment(artifact_type: str, content: Descriptor, subject: Descriptor) -> bytes:
    """Return the manifest of something that is attached to an image, as an SBOM is; its configuration is `NOTHING`."""
    whole = Manifest(config=describe(NOTHING, EMPTY), layers=(content,), artifact_type=artifact_type, subject=subject)
    return _written(MANIFEST, whole)


def index(manifests: Iterable[Descriptor]) -> bytes:
    """Return an index; manifests with a platform stand in its order, behind those without one."""
    ordered = sorted(manifests, key=lambda each: (str(each.platform or ""), each.digest))
    return _written(INDEX, Index(manifests=tuple(ordered)))


def _written(media_type: str, content: Manifest | Index) -> bytes:
    return canonical({"schemaVersion": 2, "mediaType": media_type, **msgspec.to_builtins(content)})


def document(data: bytes, name: str) -> Manifest | Index:
    """Return what a manifest or an index says, in OCI's or Docker's words; `name` is what messages call it.

    Raises Malformed.
    """
    if len(data) > LARGEST_DOCUMENT:
        raise Malformed(f"{name} has more than {LARGEST_DOCUMENT >> 20} MiB, so it is no manifest")
    try:
        value = json_value(data)
        if not isinstance(value, dict) or value.get("schemaVersion") != 2:  # noqa: PLR2004
            raise ValueError("it has no `schemaVersion` 2")  # noqa: TRY301
        kind: type[Manifest | Index] = Index if "manifests" in value else Manifest
        content = msgspec.convert(value, kind)
    except ValueError as error:  # msgspec's own errors are such, too
        raise Malformed(f"{name} is no manifest: {error}", hint="name an image of OCI's or Docker's format") from error
    for each in (*content.layers, content.config) if isinstance(content, Manifest) else content.manifests:
        if each.urls:
            raise Malformed(
                f"{name} has a blob that lies elsewhere (`{each.digest}`)", hint="use an image without foreign layers"
            )
    return content


def oci_layer(layer: Descriptor, name: str) -> Descriptor:
    """Return what names a layer in OCI's words, also if it stands there in Docker's; its bytes are the same.

    `name` is what messages call the image. Raises Malformed for a layer that is no archive, or an encrypted one.
    """
    media_type = _LAYERS.get(layer.media_type)
    if media_type is None:
        raise Malformed(
            f"the layer `{layer.digest}` of {name} is of the kind `{printable(layer.media_type)}`",
            hint="take an image whose layers are tar archives: plain, or compressed by gzip or zstd",
        )
    return Descriptor(media_type=media_type, digest=layer.digest, size=layer.size, annotations=layer.annotations)


def docker_archive(config: Descriptor, layers: Sequence[Descriptor], names: Sequence[str]) -> bytes:
    """Return `manifest.json` of an archive for `docker load`, whose blobs lie where an OCI layout has them."""
    paths = [f"blobs/{each.digest.replace(':', '/')}" for each in (config, *layers)]
    return canonical([{"Config": paths[0], "RepoTags": list(names), "Layers": paths[1:]}])
