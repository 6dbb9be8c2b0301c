"""JSON for the warm path: what `json.loads` and compact `json.dumps` give, without importing `json`.

NaN and numbers too big for a float are refused, because no integer can be made of them, and so is a text whose objects
and arrays are too deep.

CPython's `json` does its work in the C module `_json`. What it adds in Python takes 3 ms to import, most of it for the
regular expressions that find the place of an error. On another Python, and for an error's place, we use `json` itself.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import _json
except ImportError:
    _json = None  # type: ignore[assignment]

__all__ = ["DEEPEST", "TooDeep", "check_depth", "parse", "render"]

DEEPEST = 64
"""How many tables, objects and arrays may lie inside each other."""
_SPACE = " \t\n\r"


class TooDeep(ValueError):
    """More levels than are allowed."""

    def __init__(self, deepest: int = DEEPEST) -> None:
        super().__init__(f"more than {deepest} tables or arrays lie inside each other")


def _finite(text: str) -> float:
    number = float(text.replace("Infinity", "inf"))
    if number - number != 0:
        raise ValueError(f"`{text}` is not a number, or too big a one")
    return number


class _Rules:
    """The rules of `json.loads`, where the C module looks for them."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_finite)
    parse_int = int
    parse_constant = staticmethod(_finite)


def parse(text: str) -> Any:
    """Return the value that a JSON text holds; raises ValueError if it is no JSON, and TooDeep."""
    try:
        value = _parse(text)
    except RecursionError:
        raise TooDeep from None
    check_depth(value)
    return value


def check_depth(value: Any, deepest: int = DEEPEST) -> None:
    """Raise TooDeep if more than `deepest` objects and arrays lie inside each other in a value of JSON."""
    level = [value]
    for _ in range(deepest + 1):
        containers = [each for each in level if isinstance(each, (dict, list))]
        if not containers:
            return
        level = [child for each in containers for child in (each.values() if isinstance(each, dict) else each)]
    raise TooDeep(deepest)


def _parse(text: str) -> Any:
    if _json is not None:
        start = len(text) - len(text.lstrip(_SPACE))
        try:
            scan = _json.make_scanner(_Rules())  # type: ignore[arg-type]  # it takes anything with these attributes
            value, end = scan(text, start)
        except (
            StopIteration,
            ValueError,
            SystemError,
        ):  # the last where `json`, which has the error's type, is not loaded
            pass
        else:
            if not text[end:].strip(_SPACE):
                return value
    import json

    return json.loads(text, parse_float=_finite, parse_constant=_finite)


def render(value: object) -> str:
    """Return a value as JSON in ASCII, without spaces."""
    if _json is None:
        import json

        return json.dumps(value, separators=(",", ":"))
    encode = _json.make_encoder({}, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, True)
    return "".join(encode(value, 0))


def _refuse(value: object) -> object:
    raise TypeError(f"JSON has no form for a value of type {type(value).__name__}")
