"""The part of YAML that environment files of conda consist of: block mappings, block lists and one-line scalars.

Such a file is a mapping whose values are scalars, lists of scalars, and one list that holds a mapping with a list:

    channels: [conda-forge]
    dependencies:
      - python=3.12        # a comment
      - pip:
          - "flask>=3"

The specification is YAML 1.2. Everything of it that is not listed above is refused by name: anchors, tags, flow
mappings, texts of several lines, several documents. So nothing is ever read in another way than YAML would read it.

Oddities: a list may stand at the indentation of its key; every scalar is a text here, so that `3.10` stays `3.10`; an
empty value is None; `#` begins a comment only after a space.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from esker.formats.untrusted import LARGEST_MANIFEST

__all__ = ["parse"]

_DEEPEST = 8
_KEY = re.compile(r"""(?P<key>[A-Za-z0-9_][\w.-]*|"[^"\\]*"|'[^']*')\s*:(?:\s+(?P<value>.*))?""", re.ASCII)
_ITEM = re.compile(r"-(?:(?P<space> +)(?P<value>.*))?")
_QUOTED = re.compile(r"""(?:"(?P<double>(?:[^"\\]|\\["\\])*)"|'(?P<single>(?:[^']|'')*)')\s*(?:\#.*)?""")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_NOT_PLAIN = {
    "&": "an anchor",
    "*": "a reference to an anchor",
    "!": "a tag",
    "|": "a text of several lines",
    ">": "a text of several lines",
    "{": "a mapping in braces",
    "?": "a key of several lines",
    "%": "a directive",
    "@": "a reserved character",
    "`": "a reserved character",
    "]": "a bracket",
    "}": "a bracket",
    ",": "a comma",
}


class _Line(NamedTuple):
    number: int
    indent: int
    text: str


def parse(text: str) -> Any:
    r"""Return dicts, lists, texts and None; raises ValueError, with the line, for what is not of that part of YAML.

    >>> parse("a:\n- b=1.10 # c\n- d: ['e', f]\n")
    {'a': ['b=1.10', {'d': ['e', 'f']}]}
    """
    if len(text) > LARGEST_MANIFEST:
        raise ValueError(f"it has more than {LARGEST_MANIFEST >> 10} KiB")
    lines = list(_lines(text))
    if not lines:
        return None
    reader = _Reader(lines)
    value = reader.block(lines[0].indent, depth=0)
    if reader.line is not None:
        raise _refused(reader.line.number, "its indentation does not fit the lines above")
    return value


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r").rstrip(" ")
        content = line.lstrip(" ")
        if not content or content.startswith("#"):
            continue
        if content == "---" and not lines:
            continue
        if content.startswith(("\t", "---", "...")):
            raise _refused(number, "a tab" if content.startswith("\t") else "a second document")
        lines.append(_Line(number, len(line) - len(content), content))
    return lines


def _refused(number: int, what: str) -> ValueError:
    return ValueError(f"line {number} has YAML that Esker does not read: {what}")


class _Reader:
    """Takes the lines one by one; a line with the beginning of a nested block is replaced by the rest of it."""

    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self._next = 0

    @property
    def line(self) -> _Line | None:
        return self._lines[self._next] if self._next < len(self._lines) else None

    def block(self, indent: int, *, depth: int) -> Any:
        """Read the mapping or the list whose lines have this indentation."""
        line = self.line
        assert line is not None
        if depth > _DEEPEST:
            raise _refused(line.number, "too many levels")
        if _ITEM.fullmatch(line.text):
            return self._list(indent, depth)
        if _KEY.fullmatch(line.text):
            return self._mapping(indent, depth)
        raise _refused(line.number, "it is neither `KEY: VALUE` nor `- VALUE`")

    def _mapping(self, indent: int, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while (line := self.line) is not None and line.indent == indent:
            match = _KEY.fullmatch(line.text)
            if match is None:
                raise _refused(line.number, "it is not `KEY: VALUE`")
            key = match["key"].strip("\"'")
            if key in values:
                raise _refused(line.number, f"`{key}` stands there twice")
            self._next += 1
            value = _COMMENT.sub("", match["value"] or "", count=1).strip()
            if value:
                values[key] = _value(match["value"].strip(), line.number)
            else:
                values[key] = self._nested(indent, depth, lists_at=indent)
        return values

    def _list(self, indent: int, depth: int) -> list[Any]:
        values: list[Any] = []
        while (line := self.line) is not None and line.indent == indent:
            match = _ITEM.fullmatch(line.text)
            if match is None:
                break  # the next key, where the list stands at the indentation of its own
            rest = match["value"] or ""
            if not _COMMENT.sub("", rest, count=1).strip():
                self._next += 1
                values.append(self._nested(indent, depth, lists_at=indent + 1))
            elif _KEY.fullmatch(rest) or _ITEM.fullmatch(rest):
                inner = indent + 1 + len(match["space"])
                self._lines[self._next] = _Line(line.number, inner, rest)
                values.append(self.block(inner, depth=depth + 1))
            else:
                self._next += 1
                values.append(_value(rest.strip(), line.number))
        return values

    def _nested(self, indent: int, depth: int, *, lists_at: int) -> Any:
        """Read the block below a key or a dash; None if there is none."""
        line = self.line
        if line is None:
            return None
        if line.indent > indent or (line.indent >= lists_at and _ITEM.fullmatch(line.text)):
            return self.block(line.indent, depth=depth + 1)
        return None


def _value(text: str, number: int) -> str | list[str]:
    if not text.startswith("["):
        return _scalar(text, number)
    inside = _COMMENT.sub("", text, count=1).strip()
    if not inside.endswith("]") or any(character in inside[1:-1] for character in "[]{}"):
        raise _refused(number, "a list in brackets that is not on one line")
    items = [item.strip() for item in inside[1:-1].split(",")]
    return [_scalar(item, number) for item in items if item]


def _scalar(text: str, number: int) -> str:
    if text.startswith(('"', "'")):
        match = _QUOTED.fullmatch(text)
        if match is None:
            raise _refused(number, "a quoted text with escapes, or without its end")
        if match["single"] is not None:
            return match["single"].replace("''", "'")
        return re.sub(r"\\(.)", r"\1", match["double"])
    plain = _COMMENT.sub("", text, count=1).strip()
    if plain[:1] in _NOT_PLAIN:
        raise _refused(number, _NOT_PLAIN[plain[:1]])
    if ": " in plain or plain.endswith(":"):
        raise _refused(number, "a second `:`")
    return plain
