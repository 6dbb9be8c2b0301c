"""Which units lie together in a layer, and the key by which a layer is known before anybody looks at its files.

The layers of the explicit table come first, in its order. Then come those that are split automatically: each large unit
alone, and the small ones together in buckets. Configuration and application come last, because they change most.

A new version of a unit must not move any other unit. So a unit's bucket depends on its name and on the number of
buckets alone, and automatic layers stand in the order of their names. The number grows by linear hashing (Litwin,
1980): one bucket more divides one bucket, and leaves all others as they are.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.formats.counted import counted
from esker.formats.oci.layer_names import APPLICATION, CONFIGURATION, small_packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from esker.ship.image.unit import Unit

__all__ = ["MOST_LAYERS", "SMALLEST_LAYER", "PlannedLayer", "plan"]

SMALLEST_LAYER = 4 << 20
"""Bytes that an automatic layer has at least, before compression: below this a request costs more than the bytes."""
MOST_LAYERS = 70
"""How many layers an image has at most, together with those of its base: engines stop at 127."""
_USUAL_BUCKET = 16 << 20
"""Bytes that a bucket has on average, so that few are near the smallest size and their number seldom changes."""
_RECIPE = 1
"""The number of the rules by which entries become an archive (`archive.py`); other rules are another number."""


class PlannedLayer(NamedTuple):
    """A layer that may or may not have been made yet."""

    name: str
    units: tuple[Unit, ...]
    """In the order of their names."""
    key: str
    """64 hexadecimal digits, made of the keys of the units, the codec and the rules of the archive."""

    @property
    def size(self) -> int:
        """Bytes of all files, as far as the units know."""
        return sum(unit.size for unit in self.units)


def plan(
    units: Iterable[Unit], *, explicit: Sequence[str] = (), codec: str, most: int = MOST_LAYERS
) -> tuple[PlannedLayer, ...]:
    """Return the layers for `units` in the order of the image; a category without units is no layer.

    `explicit` has the categories of the explicit table in its order. `codec` is the codec's whole identity, with the
    version of its library. Raises ImageError where `most` leaves no room for what is to be split automatically, and
    ValueError for two units of one name and for a category that nobody has declared.
    """
    ordered = sorted(units, key=lambda unit: unit.name)
    _check(ordered, explicit)
    by_category: dict[str, list[Unit]] = {}
    for unit in ordered:
        by_category.setdefault(unit.category, []).append(unit)
    automatic = by_category.pop("", [])
    first = [name for name in explicit if name in by_category]
    last = [name for name in (CONFIGURATION, APPLICATION) if name in by_category and name not in first]
    room = most - len(first) - len(last)
    if room < bool(automatic):
        raise ImageError(
            f"{counted(len(first), 'layer is', 'layers are')} declared, and the image may have {most} at most",
            hint="declare fewer layers in `[plugins.esker.image.layers]`, so that the other packages find room",
        )
    groups = [(name, by_category[name]) for name in first]
    groups += _split(automatic, room)
    groups += [(name, by_category[name]) for name in last]
    return tuple(PlannedLayer(name, tuple(group), _key(group, codec)) for name, group in groups)


def _check(units: Sequence[Unit], explicit: Sequence[str]) -> None:
    for unit, following in pairwise(units):
        if unit.name == following.name:
            raise ValueError(f"two units have the name `{unit.name}`")
    declared = {"", CONFIGURATION, APPLICATION, *explicit}
    for unit in units:
        if unit.category not in declared:
            raise ValueError(f"`{unit.name}` belongs to the layer `{unit.category}`, which is not in the table")


def _key(units: Sequence[Unit], codec: str) -> str:
    lines = [str(_RECIPE), codec, *sorted(unit.key for unit in units)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _split(units: Sequence[Unit], room: int) -> list[tuple[str, list[Unit]]]:
    """Return at most `room` groups of units, each with the name of its layer."""
    by_size = sorted((unit for unit in units if unit.size >= SMALLEST_LAYER), key=lambda unit: (-unit.size, unit.name))
    has_small = len(by_size) < len(units)
    alone = by_size if len(by_size) + has_small <= room else by_size[: max(room - 1, 0)]
    names = {unit.name for unit in alone}
    groups = [(unit.name, [unit]) for unit in sorted(alone, key=lambda unit: unit.name)]
    return groups + _buckets([unit for unit in units if unit.name not in names], room - len(alone))


def _buckets(units: Sequence[Unit], room: int) -> list[tuple[str, list[Unit]]]:
    """Return the units in buckets that all reach the smallest size; in one bucket if there are too few for two."""
    total = sum(unit.size for unit in units)
    for count in range(min(total // _USUAL_BUCKET, room), 1, -1):
        buckets: dict[int, list[Unit]] = {}
        for unit in units:
            buckets.setdefault(_bucket(unit.name, count), []).append(unit)
        if len(buckets) == count and all(_size(bucket) >= SMALLEST_LAYER for bucket in buckets.values()):
            return [(small_packages(number + 1), buckets[number]) for number in range(count)]
    return [(small_packages(), list(units))] if units else []


def _size(units: Iterable[Unit]) -> int:
    return sum(unit.size for unit in units)


def _bucket(name: str, count: int) -> int:
    """Return the number of the bucket for a name, if there are `count` buckets.

    >>> [_bucket("conda/openssl", count) for count in range(1, 9)]
    [0, 0, 2, 2, 2, 2, 6, 6]
    """
    hashed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    doubled = 1 << (count - 1).bit_length()
    number = hashed % doubled
    return number if number < count else number - doubled // 2
