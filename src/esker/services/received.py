"""Checking what came over the supervisor's socket: every value has the type of its field, and is in its range.

The fields' annotations, which are texts, say what each value may be. The supervisor imports this module, so it needs
nothing heavy.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TypeVar

from esker.formats.json_text import TooDeep, check_depth
from esker.host.frozen_dataclass import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["json_object", "one_of", "pid", "record", "text", "value", "whole"]

_T = TypeVar("_T")
_DEEPEST = 32
"""How many objects and lists may lie inside each other."""
_GREATEST = 1e12
"""The greatest number of seconds, or any other number with a fraction."""
_LISTED = 10
"""The most words that a message lists."""
_PIDS = 1 << 22
"""The greatest pid on Linux."""


def json_object(data: bytes) -> dict[str, Any]:
    r"""Return the JSON object in one line; raise ValueError if it is none, or is too deep.

    >>> json_object(b'{"a": 1}\n')
    {'a': 1}
    """
    try:
        message = json.loads(data)
    except RecursionError:
        raise TooDeep(_DEEPEST) from None
    if type(message) is not dict:
        raise ValueError("it is not an object")
    check_depth(message, _DEEPEST)
    return message


def record(kind: Callable[..., _T], message: object, kinds: Mapping[str, Callable[[Any], Any]]) -> _T:
    """Return the dataclass `kind` (of `frozen_dataclass`) made of `message`, its fields as JSON has them.

    `kinds` checks fields, by `Class.field`, and types, by their annotation; it is asked first. Raises ValueError.
    """
    if type(message) is not dict:
        raise ValueError(f"`{_shown(message)}` is not an object")
    annotations = fields(kind)
    if unknown := message.keys() - annotations.keys():
        raise ValueError(f"`{_shown(min(unknown))}` is not a field")
    arguments = {}
    for name, (annotation, needed) in annotations.items():
        if name in message:
            own = f"{kind.__name__}.{name}"
            try:
                arguments[name] = kinds[own](message[name]) if own in kinds else value(annotation, message[name], kinds)
            except ValueError as error:
                raise ValueError(f"`{name}`: {error}") from None
        elif needed:
            raise ValueError(f"`{name}` is missing")
    return kind(**arguments)


def value(annotation: str, given: Any, kinds: Mapping[str, Callable[[Any], Any]]) -> Any:
    """Return `given` as a value of the type that `annotation` names; raise ValueError if it is not one.

    >>> value("tuple[int, ...]", [1, 2], {})
    (1, 2)
    """
    if annotation.endswith(" | None"):
        return None if given is None else value(annotation.removesuffix(" | None"), given, kinds)
    if check := kinds.get(annotation) or _PLAIN.get(annotation):
        return check(given)
    if annotation.startswith("tuple["):
        inner = annotation[len("tuple[") : -len(", ...]")]
        if not isinstance(given, list | tuple):
            raise ValueError(f"`{_shown(given)}` is not a list")
        return tuple(value(inner, each, kinds) for each in given)
    if annotation.startswith("Mapping[str, "):
        inner = annotation[len("Mapping[str, ") : -1]
        if not isinstance(given, dict):
            raise ValueError(f"`{_shown(given)}` is not an object")
        word: Callable[[Any], Any] = kinds.get("str", text)
        return {word(name): value(inner, each, kinds) for name, each in given.items()}
    raise AssertionError(f"no check for `{annotation}`")


def text(given: Any) -> str:
    """Return a text that the system's calls accept, with bytes that are not UTF-8 as `os.fsdecode` gives them."""
    if type(given) is not str:
        raise ValueError(f"`{_shown(given)}` is not a text")
    os.fsencode(given)  # half a character is UnicodeEncodeError, which is ValueError
    return given


def one_of(*words: str) -> Callable[[Any], str]:
    """Return the check that a value is one of `words`."""

    def check(given: Any) -> str:
        if not isinstance(given, str) or given not in words:
            listed = ", ".join(words) if len(words) <= _LISTED else "the names that it may be"
            raise ValueError(f"`{_shown(given)}` is none of {listed}")
        return given

    return check


def whole(least: int, most: int) -> Callable[[Any], int]:
    """Return the check that a value is a whole number from `least` to `most`."""

    def check(given: Any) -> int:
        if type(given) is not int or not least <= given <= most:
            raise ValueError(f"`{_shown(given)}` is not a whole number from {least} to {most}")
        return given

    return check


def _truth(given: Any) -> bool:
    if type(given) is not bool:
        raise ValueError(f"`{_shown(given)}` is neither true nor false")
    return given


def _number(given: Any) -> float:
    if type(given) not in {int, float} or not 0 <= given <= _GREATEST:  # NaN is refused too
        raise ValueError(f"`{_shown(given)}` is not a number from 0 to {_GREATEST:g}")
    return float(given)


def _shown(given: object) -> str:
    """Return a short text for a message, without anything that cannot be printed; no value is named in full."""
    if isinstance(given, dict | list):
        return "{…}" if isinstance(given, dict) else "[…]"
    if isinstance(given, int) and abs(given) > _GREATEST:
        return "a very great number"
    return ascii(given)[:40]


pid = whole(1, _PIDS)
_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "str": text,
    "bool": _truth,
    "int": whole(-(1 << 31), (1 << 63) - 1),
    "float": _number,
}
