"""What an image holds, and how two images differ: which layers changed, and which of their units are the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from esker.formats.oci.documents import BASE_DIGEST, BASE_NAME
from esker.formats.oci.layer_names import base_layer
from esker.formats.oci.steps import UnitLine, layer_name, unit_lines
from esker.formats.printable import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from esker.ship.image.stored import StoredImage

__all__ = [
    "Difference",
    "LayerChange",
    "LayerContent",
    "SettingChange",
    "UnitChange",
    "base_of",
    "contents",
    "difference",
]


class LayerContent(NamedTuple):
    """A layer of an image, as the image itself describes it; fit to be shown."""

    name: str
    digest: str
    diff_id: str
    size: int
    media_type: str
    units: tuple[UnitLine, ...]
    """None if Esker has not made the layer."""


class UnitChange(NamedTuple):
    """A unit of a layer that is another one, or only in one of the images."""

    name: str
    before: str | None
    """The version; None if the unit was not there."""
    after: str | None

    def __str__(self) -> str:
        titled = f"{self.name} {self.after or self.before or ''}".rstrip()  # units of Esker's own have no version
        if self.before is None:
            return f"{titled} is new"
        if self.after is None:
            return f"{titled} is gone"
        if self.before == self.after:
            return f"{titled} has other files"
        return f"{self.name} {self.before} became {self.after}"


class LayerChange(NamedTuple):
    """A layer that is not the same in both images."""

    name: str
    before: LayerContent | None
    after: LayerContent | None
    units: tuple[UnitChange, ...]
    reason: str
    """Why it changed, for people."""


class SettingChange(NamedTuple):
    """Something that the engine is asked, or that an image says of itself, and that is not the same."""

    name: str
    """As documents call it, for a variable or label with its own name: `Env PATH`."""
    before: str | None
    after: str | None


class Difference(NamedTuple):
    """How two images differ."""

    layers: tuple[LayerChange, ...]
    settings: tuple[SettingChange, ...]
    same: tuple[LayerContent, ...]
    """The layers that both have."""

    @property
    def size(self) -> int:
        """Bytes of the layers that somebody with the first image has to fetch for the second."""
        return sum(change.after.size for change in self.layers if change.after)


def contents(image: StoredImage) -> tuple[LayerContent, ...]:
    """Return the layers of an image; one that Esker has not made is called by its place: `layer 3`, or `base 3`."""
    name = base_layer if BASE_DIGEST in image.manifest.annotations else "layer {}".format
    return tuple(
        LayerContent(
            layer_name(step) or name(number),
            layer.digest,
            diff_id,
            layer.size,
            layer.media_type,
            unit_lines(step),
        )
        for number, (layer, diff_id, step) in enumerate(
            zip(image.manifest.layers, image.config.diff_ids, image.config.steps, strict=True), start=1
        )
    )


def base_of(image: StoredImage) -> str:
    """Return the image that an image says it begins with, or an empty text; fit to be shown."""
    name, digest = (image.manifest.annotations.get(each, "") for each in (BASE_NAME, BASE_DIGEST))
    return printable("@".join(filter(None, (name, digest))))


def difference(before: StoredImage, after: StoredImage) -> Difference:
    """Return what is not the same in two images; layers are compared by their digests, and matched by their names."""
    first, second = contents(before), contents(after)
    digests = {layer.digest for layer in first} & {layer.digest for layer in second}
    others = {layer.name: layer for layer in first if layer.digest not in digests}
    moved = {unit.name: layer.name for layer in first for unit in layer.units}
    changes = [_change(others.pop(layer.name, None), layer, moved) for layer in second if layer.digest not in digests]
    changes += [_change(layer, None, moved) for layer in others.values()]
    same = tuple(layer for layer in second if layer.digest in digests)
    return Difference(tuple(changes), (*_settings(before, after), *_order(first, second, digests)), same)


def _order(
    first: tuple[LayerContent, ...], second: tuple[LayerContent, ...], digests: Collection[str]
) -> Iterator[SettingChange]:
    """Yield that the layers which both images have do not lie on each other in the same order."""
    names = {layer.digest: layer.name for layer in second}
    orders = [[layer.digest for layer in layers if layer.digest in digests] for layers in (first, second)]
    if orders[0] != orders[1]:
        yield SettingChange("order", *(", ".join(names[digest] for digest in order) for order in orders))


def _change(before: LayerContent | None, after: LayerContent | None, homes: Mapping[str, str]) -> LayerChange:
    layer = after or before
    assert layer is not None
    first = {unit.name: unit for unit in before.units} if before else {}
    second = {unit.name: unit for unit in after.units} if after else {}
    units = tuple(
        UnitChange(name, _version(first.get(name)), _version(second.get(name)))
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    )
    return LayerChange(layer.name, before, after, units, _reason(before, after, units, homes))


def _version(unit: UnitLine | None) -> str | None:
    return unit.version if unit else None


def _reason(
    before: LayerContent | None, after: LayerContent | None, units: tuple[UnitChange, ...], homes: Mapping[str, str]
) -> str:
    if after is None:
        return "the layer is gone"
    if before is None:
        origins = {homes[unit.name] for unit in units if unit.name in homes}
        return f"its packages were in {', '.join(f'`{name}`' for name in sorted(origins))}" if origins else "it is new"
    if units:
        return "; ".join(map(str, units))
    if before.diff_id == after.diff_id:
        return "the same files are compressed in another way"
    return "the same packages are packed in another way" if before.units else "its files are others"


def _settings(before: StoredImage, after: StoredImage) -> tuple[SettingChange, ...]:
    first, second = _flat(before), _flat(after)
    return tuple(
        SettingChange(name, first.get(name), second.get(name))
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    )


def _flat(image: StoredImage) -> dict[str, str]:
    """Return each thing that the engine is asked as a text, and when the image was made."""
    flat = {"platform": str(image.config.platform)}
    if created := image.config.document.get("created"):
        flat["created"] = _text(created)
    if base := base_of(image):
        flat["base"] = base
    for key, value in image.config.settings.items():
        if key == "Env":
            flat |= {f"Env {name}": text for name, text in image.config.env.items()}
        elif key == "Labels" and isinstance(value, dict):
            flat |= {f"Labels {name}": text for name, text in value.items()}
        elif value:
            flat[key] = _text(value)
    return {printable(name): printable(text) for name, text in flat.items()}


def _text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
