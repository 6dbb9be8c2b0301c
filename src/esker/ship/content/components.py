"""The bill of materials of an image: what the lock says of each package in it, as CycloneDX.

The document comes from the lock alone, and is the same bytes for the same lock. Its serial number is made of its
content, and it has the time of the image. Specification: CycloneDX 1.6; package URLs: ECMA-427.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from esker.errors import HostError
from esker.host.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.realise.artifacts import Artifact

__all__ = ["LAYERS", "MEDIA_TYPE", "UNIT", "Component", "conda_components", "document", "wheel_components"]

MEDIA_TYPE = "application/vnd.cyclonedx+json"
UNIT = "esker:unit"
"""The property of a component that names its unit."""
LAYERS = "esker:layers"
"""The property of the image that says how many layers the bill speaks of: all that do not come from the base."""
_SHA256 = 64
"""Hexadecimal digits."""


class Component(NamedTuple):
    """A package of an image."""

    unit: str
    """The name of its unit, such as `conda/openssl`."""
    name: str
    version: str
    sha256: str | None
    """Of the archive that it was fetched as; None for what was built here."""
    kind: str
    """The type of its package URL: `conda`, `pypi`, `npm` or `generic`."""
    qualifiers: Mapping[str, str] = {}
    """Those of its package URL."""
    integrity: str = ""
    """Of the archive as npm writes it, where the hash is another one than a SHA-256."""


def conda_components(packages: Iterable[LockedCondaPackage]) -> list[Component]:
    """Return the components that conda packages are."""
    found = []
    for each in packages:
        channel = urlsplit(each.url).path.removesuffix(f"/{each.subdir}/{each.url.rpartition('/')[2]}").strip("/")
        qualifiers = {"build": each.build, "subdir": each.subdir, **({"channel": channel} if channel else {})}
        found.append(Component(f"conda/{each.name}", each.name, each.version, each.sha256, "conda", qualifiers))
    return found


def wheel_components(artifacts: Sequence[Artifact]) -> list[Component]:
    """Return the components that wheels are; what a source gave has no hash of an archive."""
    found = []
    for name, version, file in artifacts:
        sha256 = dict(file.hashes).get("sha256", "")
        found.append(Component(f"pypi/{name}", name, version, sha256 if len(sha256) == _SHA256 else None, "pypi"))
    return found


def _hashes(component: Component) -> Iterator[tuple[str, str]]:
    """Yield the hashes of a component, each with its name in CycloneDX and in hexadecimal digits."""
    import base64

    if component.sha256:
        yield "SHA-256", component.sha256
    for word in component.integrity.split():
        name, _, value = word.partition("-")
        yield f"SHA-{name.removeprefix('sha')}", base64.b64decode(value).hex()


def document(components: Iterable[Component], name: str, digest: str, created: int, *, layers: int) -> bytes:
    """Return the bill of materials of the image `name` with a manifest's `digest`, made at `created`, in seconds.

    `layers` is the number of the image's own layers. Raises HostError if the library that writes it is not installed.
    """
    try:
        from cyclonedx.model import HashAlgorithm, HashType, Property
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component as Described
        from cyclonedx.model.component import ComponentType
        from cyclonedx.output.json import JsonV1Dot6
        from packageurl import PackageURL
    except ImportError as error:
        raise HostError(
            f"a bill of materials needs cyclonedx-python-lib, which cannot be imported here: {error}",
            hint=how_to_install("image"),
        ) from error
    described = []
    for each in sorted(components):
        namespace, _, own = each.name.rpartition("/")
        version = each.version or None
        url = PackageURL(each.kind, namespace or None, own, version, qualifiers={**each.qualifiers})
        described.append(
            Described(
                type=ComponentType.LIBRARY,
                name=each.name,
                version=version,
                bom_ref=url.to_string(),
                purl=url,
                hashes=[HashType(alg=HashAlgorithm(name), content=value) for name, value in _hashes(each)],
                properties=[Property(name=UNIT, value=each.unit)],
            )
        )
    bom = Bom(components=described)
    bom.metadata.component = Described(
        type=ComponentType.CONTAINER,
        name=name,
        version=digest,
        bom_ref=digest,
        properties=[Property(name=LAYERS, value=str(layers))],
    )
    bom.register_dependency(bom.metadata.component, described)
    bom.metadata.timestamp = datetime.fromtimestamp(created, UTC)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, digest)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode() + b"\n"
