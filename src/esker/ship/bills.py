"""The bills of materials of an image: one for each platform, and in a registry attached to that platform's manifest.

`unlike` compares an attached one with the history of the image, which names the packages of each layer.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.errors import CorruptedBlob, ImageError, Malformed
from esker.formats.oci.documents import Manifest, document
from esker.formats.printable import printable
from esker.formats.untrusted import LARGEST, json_value
from esker.host import files
from esker.ship.content import components
from esker.ship.content.components import LAYERS, MEDIA_TYPE, UNIT
from esker.ship.image.blobs import check
from esker.ship.image.comparison import contents
from esker.ship.image.registry.referrers import attach, referrers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.formats.oci.documents import Descriptor
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.registry.repository import Repository
    from esker.ship.image.stored import StoredImage
    from esker.ship.project_image import ProjectImage

__all__ = ["Attached", "Bill", "attach_bills", "attached_faults", "bills"]

_PACKAGES = ("conda/", "nix/", "pypi/")
"""How the units begin that a bill lists."""


class Bill(NamedTuple):
    """The bill of materials of an image for one platform."""

    platform: str
    subject: Descriptor
    """The manifest of the image."""
    data: bytes


class Attached(NamedTuple):
    """A bill of materials in a registry."""

    platform: str
    digest: str
    """Of the manifest by which it is attached."""
    is_new: bool


def bills(image: ProjectImage, name: str) -> tuple[Bill, ...]:
    """Return the bills of materials of an image that is called `name`; raises HostError without the library for it."""
    return tuple(
        Bill(
            str(made.platform),
            made.descriptor,
            components.document(
                each.components,
                name,
                made.descriptor.digest,
                image.created,
                layers=len(made.layers) - (len(made.base.layers) if made.base else 0),
            ),
        )
        for each, made in zip(image.contents, image.images, strict=True)
    )


def attach_bills(repository: Repository, made: Sequence[Bill], blobs: Blobs) -> tuple[Attached, ...]:
    """Attach bills to the manifests that they are of, which the repository has; raises RegistryError.

    Nothing is sent for one that is attached already. On this machine one push at a time does this, so that none
    replaces the list of another one.
    """
    if not made:
        return ()
    with files.refused("make", blobs.directory, ImageError):
        files.make_directory(blobs.directory, mode=0o755)
    with files.locked(f"{blobs.directory}/attaching.lock", error=ImageError):
        attached = [
            Attached(each.platform, *attach(repository, each.subject, MEDIA_TYPE, each.data, blobs)) for each in made
        ]
        for each, result in zip(made, attached, strict=True):
            if result.is_new:  # a push on another machine may have replaced the list meanwhile
                attach(repository, each.subject, MEDIA_TYPE, each.data, blobs)
    return tuple(attached)


def attached_faults(repository: Repository, image: StoredImage) -> list[ImageError]:
    """Compute the digests of an image's attached bills again, and compare them with the image; return all faults.

    What other tools have attached is compared with its digests alone. One bill at least has to be Esker's. Raises
    RegistryError if the registry cannot be asked.
    """
    faults: list[ImageError] = []
    own = 0
    for each in referrers(repository, image.descriptor.digest):
        if each.artifact_type != MEDIA_TYPE:
            continue
        try:
            bill = _bill(repository, each, image.descriptor.digest)
        except (CorruptedBlob, Malformed) as error:
            faults.append(ImageError(f"the bill of materials `{each.digest}`: {error.message}"))
            continue
        if bill is not None:
            own += 1
            faults += [ImageError(f"the bill of materials `{each.digest}` {fault}") for fault in _unlike(*bill, image)]
    if not own and not faults:
        faults.append(ImageError(f"no bill of materials of Esker's is attached to `{image.descriptor.digest}`"))
    return faults


def _bill(repository: Repository, descriptor: Descriptor, subject: str) -> tuple[dict[str, str], int] | None:
    """Return the versions of the units that an attached bill lists, and the number of layers that it speaks of.

    None means that another tool has made it. Raises CorruptedBlob and Malformed.
    """
    answer = repository.manifest(descriptor.digest)
    if answer is None:
        raise Malformed("the registry lists it, and does not have it")
    check(descriptor, answer[0].digest, answer[0].size)
    manifest = document(answer[1], "its manifest")
    if not isinstance(manifest, Manifest) or len(manifest.layers) != 1:
        raise Malformed("its manifest does not name one document")
    if manifest.subject is None or manifest.subject.digest != subject:
        raise Malformed("its manifest names another image")
    if manifest.layers[0].size > LARGEST:
        raise Malformed(f"it has more than {LARGEST >> 20} MiB")
    try:
        value = json_value(repository.small_blob(manifest.layers[0]))
        about = value["metadata"]["component"]
        units = dict(_units(value))
        layers = _properties(about).get(LAYERS)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if layers is None or not layers.isdecimal():
        return None
    if about.get("version") != subject:
        raise Malformed("it is of another image")
    return units, int(layers)


def _units(bill: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in bill.get("components", ()):
        with suppress(KeyError):
            yield printable(str(_properties(each)[UNIT])), printable(str(each.get("version", "")))


def _properties(component: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: str(each["value"]) for each in component.get("properties", ())}


def _unlike(listed: Mapping[str, str], layers: int, image: StoredImage) -> Iterator[str]:
    """Yield what a bill and the history of its image say differently."""
    own = contents(image)[-layers:] if layers else ()
    held = {unit.name: unit.version for layer in own for unit in layer.units if unit.name.startswith(_PACKAGES)}
    for name in sorted({*listed, *held}):
        if name not in held:
            yield f"lists `{name}`, which the image does not hold"
        elif name not in listed:
            yield f"does not list `{name}`, which the image holds"
        elif listed[name] != held[name]:
            yield f"lists `{name}` {listed[name]}, and the image holds {held[name]}"
