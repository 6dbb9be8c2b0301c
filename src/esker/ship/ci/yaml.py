"""YAML as the writers of workflows need it: block style, every text in double quotes unless it is a plain word.

A double-quoted scalar of YAML (1.2, section 7.3.1) has JSON's escapes. Characters that are not printable are escaped,
also those that YAML 1.1 reads as line ends (U+0085, U+2028, U+2029).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Scalar = str | int | bool | None
    Value = Scalar | Sequence["Value"] | Mapping[str, "Value"]

__all__ = ["lines", "quoted", "scalar"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./@-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def scalar(value: Scalar) -> str:
    r"""Return a scalar: a text stays a text, whatever it looks like.

    >>> scalar("ubuntu-24.04"), scalar("no"), scalar('a: "b"'), scalar(5432), scalar(False), scalar(None)
    ('ubuntu-24.04', '"no"', '"a: \\"b\\""', '5432', 'false', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else quoted(value)


def quoted(text: str) -> str:
    """Return a text in double quotes."""
    return f'"{"".join(map(_character, text))}"'


def _character(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def lines(value: Value, indent: int = 0) -> list[str]:
    """Return the lines of a mapping or a list in block style.

    A text of several lines becomes a literal block where that says the same, so that people can read it.
    """
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _entry(f"{' ' * indent}{scalar(key)}:", item, indent)]
    if isinstance(value, (list, tuple)):
        return [line for item in value for line in _item(item, indent)]
    raise TypeError(value)


def _entry(start: str, value: Value, indent: int) -> list[str]:
    if isinstance(value, (dict, list, tuple)):
        if not value:
            return [f"{start} {'{}' if isinstance(value, dict) else '[]'}"]
        return [start, *lines(value, indent + 2)]
    if isinstance(value, str) and _is_literal(value):
        return [f"{start} |{'' if value.endswith(chr(10)) else '-'}", *_indented(value, indent + 2)]
    return [f"{start} {scalar(value)}".rstrip()]  # type: ignore[arg-type]


def _item(value: Value, indent: int) -> list[str]:
    if isinstance(value, dict) and value:
        first, *rest = lines(value, indent + 2)
        return [f"{' ' * indent}- {first[indent + 2 :]}", *rest]
    return _entry(f"{' ' * indent}-", value, indent)


def _is_literal(text: str) -> bool:
    """Return whether a literal block says the same: more than one line, nothing to escape, no blank that is lost."""
    body = text.removesuffix("\n")
    return (
        "\n" in text
        and all(char.isprintable() or char == "\n" for char in text)
        and all(line and line == line.rstrip() for line in body.split("\n"))
        and not body.startswith(" ")
    )


def _indented(text: str, indent: int) -> list[str]:
    return [f"{' ' * indent}{line}" for line in text.removesuffix("\n").split("\n")]
