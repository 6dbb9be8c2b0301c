"""What the history of an image says of a layer that Esker has made: its name, and the units that it holds.

`created_by` is `esker: NAME`, and `comment` has a line for each unit: name, version and the beginning of a hash of its
key, with tabs between them. That is for people who look at images or compare them. Nothing is decided by it, because
anybody can write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.formats.oci.config import Step
from esker.formats.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["UnitLine", "layer_name", "step", "unit_lines"]

_MARK = "esker: "


class UnitLine(NamedTuple):
    """A unit as the history has it."""

    name: str
    version: str
    key: str
    """The beginning of a hash of the unit's key."""


def step(name: str, units: Iterable[UnitLine]) -> Step:
    """Return the entry of the history for a layer."""
    return Step(f"{_MARK}{name}", "\n".join("\t".join(map(_plain, unit)) for unit in units))


def layer_name(made: Step) -> str | None:
    """Return the name of a layer that Esker has made, fit to be shown; None for other layers.

    >>> layer_name(step("base", []))
    'base'
    """
    return printable(made.created_by.removeprefix(_MARK)) if made.created_by.startswith(_MARK) else None


def unit_lines(made: Step) -> tuple[UnitLine, ...]:
    """Return the units of a layer, fit to be shown; none for a layer that Esker has not made.

    >>> unit_lines(step("base", [UnitLine("conda/bash", "5.2", "0f1e")]))
    (UnitLine(name='conda/bash', version='5.2', key='0f1e'),)
    """
    if layer_name(made) is None:
        return ()
    lines = [printable(line.replace("\r", "")).split("\t") for line in made.comment.split("\n")]
    return tuple(UnitLine(*line) for line in lines if len(line) == len(UnitLine._fields))


def _plain(text: str) -> str:
    return text.replace("\t", " ").replace("\n", " ")
