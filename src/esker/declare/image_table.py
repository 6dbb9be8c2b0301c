"""`[plugins.esker.image]`: what an image of the environment holds besides its packages, and how it is laid out.

The types are the schema, as in `declaration`. What OCI has words for stands in Flox's `[containerize.config]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Annotated, Any, Literal

import msgspec

from esker.declare import image_notations, notations
from esker.declare.prepared_table import Prepared, separate_places
from esker.formats.manifest_values import variable_name
from esker.formats.oci.layer_names import is_taken
from esker.formats.tables.reader import Checked, Fault, Parsed

__all__ = ["ImageHealthCheck", "ImageLayer", "ImageTable"]

Pause = Annotated[float, Parsed(notations.pause, str, '"10s"')]
Place = Annotated[str, Parsed(image_notations.image_place)]
Tracked = Annotated[str, Parsed(image_notations.tracked)]
VariableName = Annotated[str, Parsed(variable_name)]


class _Value(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A frozen struct whose keys are written in kebab case."""


def _some(_: object, written: object) -> Iterator[Fault]:
    if written == []:
        yield Fault((), "the layer has no package", "name some, or remove the layer")


class ImageLayer(_Value, frozen=True):
    """A layer that is asked for by name."""

    name: Annotated[str, Parsed(notations.word)]
    packages: Annotated[tuple[Annotated[str, Parsed(image_notations.unit)], ...], Checked(_some)]
    """Packages, as `conda/NAME` and `pypi/NAME` or by their names alone, and places of what is prepared."""


def _has_a_test(_: ImageHealthCheck, table: Mapping[str, Any]) -> Iterator[Fault]:
    if table.get("test") in ("", []):
        yield Fault(("test",), "the test is empty", 'write shell text, or a list of words, such as ["pg_isready"]')


class ImageHealthCheck(_Value, frozen=True):
    """How a container engine tells whether a container is healthy; times in seconds."""

    test: str | tuple[str, ...]
    """An argument list; or text for `/bin/sh`, which the image must have."""
    interval: Pause | None = None
    timeout: Pause | None = None
    start_period: Pause | None = None
    start_interval: Pause | None = None
    retries: Annotated[int | None, Parsed(notations.positive)] = None


def _separate(files: Mapping[str, tuple[str, ...]], _: object) -> Iterator[Fault]:
    """No place is below another, where two rules would decide about one path."""
    for one, other in combinations(sorted(files), 2):
        if other.startswith(f"{one}/"):
            yield Fault((other,), f"`{other}` lies below `{one}`, which gets files too", "keep one of the two places")


def _one_layer_each(layers: tuple[ImageLayer, ...], _: object) -> Iterator[Fault]:
    """No layer's name is used twice or is that of a layer which Esker makes, and no package is in two layers."""
    names: dict[str, int] = {}
    owners: dict[str, str] = {}
    for number, layer in enumerate(layers):
        if names.setdefault(layer.name, number) != number:
            yield Fault((str(number), "name"), f"two layers are named `{layer.name}`", "rename one of them")
        if is_taken(layer.name):  # which has its own place in the image, or would be confused with this one
            message = f"`{layer.name}` is the name of a layer that images have by themselves"
            yield Fault((str(number), "name"), message, "choose another name")
        for package in layer.packages:
            owner = owners.setdefault(package, layer.name)
            if owner != layer.name:
                message = f"`{package}` is in the layer `{owner}` already"
                yield Fault((str(number), "packages"), message, "take it out of one of the two")


class ImageTable(_Value, frozen=True):
    """`[plugins.esker.image]`."""

    name: Annotated[str | None, Parsed(image_notations.image_name)] = None
    """Without a tag; None means the environment's name."""
    base: Annotated[str | None, Parsed(image_notations.base_image)] = msgspec.field(default=None, name="from")
    """The image that this one begins with: `registry.example/base@sha256:…`, or `./PATH@sha256:…` of a layout."""
    python: Annotated[str | None, Parsed(image_notations.base_program)] = None
    """The base's Python that runs the wheels."""
    systems: tuple[Annotated[str, Parsed(image_notations.linux_system)], ...] | None = None
    """The systems that the image is for; None means each Linux system of the lock."""
    byte_code: bool = True
    """Whether modules are compiled."""
    compression: Literal["gzip", "zstd", "none"] = "gzip"
    sbom: bool = True
    """Whether a push attaches the bill of materials of each platform."""
    services: bool = False
    """Whether the container runs the environment's services, with Esker's guardian as its first process."""
    files: Annotated[Mapping[Place, tuple[Tracked, ...]], Checked(_separate)] = {}
    """By place in the image: paths of the project whose files, tracked by git, are put there."""
    prepare: Annotated[Mapping[Place, Prepared], Checked(separate_places)] = {}
    """By place in the image: what is fetched from addresses, and pinned in the lock of the image."""
    layers: Annotated[tuple[ImageLayer, ...], Checked(_one_layer_each)] = ()
    """The layers that are asked for, the lowest first; what is in none is divided automatically."""
    vars: Mapping[VariableName, Annotated[str | None, Parsed(image_notations.removable, Any, '"…"')]] = {}
    """Variables that replace those of `[vars]` in the image; None removes one."""
    healthcheck: Annotated[ImageHealthCheck | None, Checked(_has_a_test)] = None
