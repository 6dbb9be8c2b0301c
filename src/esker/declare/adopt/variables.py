"""Variables that another tool's file sets: taken where the manifest means the same by the same text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from esker.declare.adopt.found import NotTaken, left_out
from esker.formats.manifest_values import variable_name
from esker.formats.secrets import secret
from esker.formats.tables.reader import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["variables"]

_OF_ESKER = re.compile(r"(?:ESKER|FLOX|_ESKER|_FLOX)_")
_SYNTAX = re.compile(r"[$`\\]")
_TEMPLATE = re.compile(r"\{[{%#]")


def variables(table: object, place: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables of a table that can stand in [vars], and a line for each that cannot.

    `place` is the file.
    """
    taken, told = {}, []
    entries: Mapping[str, Any] = table if isinstance(table, dict) else {}
    for name, value in entries.items():
        try:
            taken[_name(name)] = _value(name, value)
        except NotTaken as reason:
            told.append(left_out(place, name, reason))
    return taken, told


def _name(name: str) -> str:
    if name == "PATH":
        raise NotTaken('a manifest adds to PATH by `PATH = "DIRECTORY:$PATH"` in [vars]')
    if _OF_ESKER.match(name):
        raise NotTaken("Esker or Flox sets variables of such names by itself")
    try:
        return variable_name(name)
    except Refusal as refusal:
        raise NotTaken("it is not the name of a variable") from refusal


def _value(name: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise NotTaken("its value is not a plain text; write what it does into [vars] or [hook]")
    if reason := secret(name, value):
        raise NotTaken(f"it looks like a secret ({reason}), which does not belong in a manifest")
    if _TEMPLATE.search(value):
        raise NotTaken("its value is a template; write what it gives into [vars]")
    if _SYNTAX.search(value):
        raise NotTaken(
            "its value has `$`, a backquote or `\\`, which the shell reads in [vars]; write it there yourself"
        )
    if not value.isprintable():
        raise NotTaken("it has more than one line, or characters that cannot be shown")
    return value
