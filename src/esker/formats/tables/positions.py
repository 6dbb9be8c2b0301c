"""The line of each key of a TOML document, which TOML parsers do not report.

A path is a tuple of keys, in which the index of an array element is written in digits: the second table under
`[[include.environments]]` is `("include", "environments", "1")`. If several lines imply a path, as `[a.b]` and `[a.c]`
both imply `a`, the first line counts.

The scan follows TOML 1.0 (https://toml.io/en/v1.0.0) and does not check the text: a parser must have accepted it. It
only needs to know where strings end, so that it ignores brackets and `#` inside them. Lines are counted from 1 and end
at line feeds alone, as in TOML.
"""

from __future__ import annotations

import re
from bisect import bisect_left

__all__ = ["positions"]

_GAP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|'([^'\n]*)'|"((?:[^"\\\n]|\\.)*)")[ \t]*""")
_STRING = re.compile(
    r'"""(?:[^"\\]+|\\.|"(?!""))*"""(?:"{0,2})'  # up to two quotes may stand before the closing three
    r"|'''(?:[^']+|'(?!''))*'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}#\n]*")  # a number, boolean or date; a date may contain a space

Path = tuple[str, ...]


def positions(text: str) -> dict[Path, int]:
    """Return the line of every table, key and array element of a valid TOML document."""
    return _Scan(text).document()


class _Scan:
    """One pass over a text; `at` is the offset of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line_ends = [line_feed.start() for line_feed in re.finditer("\n", text)]
        self.lines: dict[Path, int] = {}
        self.last_element: dict[Path, int] = {}
        """The index of the latest table of each array of tables."""

    def document(self) -> dict[Path, int]:
        table: Path = ()
        self._gap()
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._header("[[")
            elif self.text[self.at] == "[":
                table = self._header("[")
            else:
                self._pair(table)
            self._gap()
        return self.lines

    def _header(self, opening: str) -> Path:
        """Read `[a.b]` or `[[a.b]]` and return the path of the table that it opens."""
        start = self.at
        self.at += len(opening)
        keys = self._keys()
        self.at += len(opening)
        path: Path = ()
        for index, key in enumerate(keys, 1):
            path = (*path, key)
            self._record(path, start)
            if opening == "[[" and index == len(keys):
                self.last_element[path] = self.last_element.get(path, -1) + 1
            # A header inside an array of tables, such as `[a.b]` after `[[a]]`, belongs to the latest element.
            if path in self.last_element:
                path = (*path, str(self.last_element[path]))
                self._record(path, start)
        return path

    def _pair(self, table: Path) -> None:
        """Read `a.b = value` in `table`."""
        start = self.at
        for key in self._keys():
            table = (*table, key)
            self._record(table, start)
        self.at += 1  # the equals sign
        self._value(table)

    def _value(self, path: Path) -> None:
        self._gap()
        opening = self.text[self.at]
        if opening == "[":
            self._sequence(path, "]")
        elif opening == "{":
            self._sequence(path, "}")
        else:
            token = _STRING.match(self.text, self.at) or _PLAIN.match(self.text, self.at)
            assert token is not None
            self.at = token.end()

    def _sequence(self, path: Path, closing: str) -> None:
        """Read the elements of an array or the pairs of an inline table."""
        self.at += 1
        index = 0
        self._gap()
        while self.text[self.at] != closing:
            if closing == "}":
                self._pair(path)
            else:
                self._record((*path, str(index)), self.at)
                self._value((*path, str(index)))
                index += 1
            self._gap()
            if self.text[self.at] == ",":
                self.at += 1
                self._gap()
        self.at += 1

    def _keys(self) -> Path:
        """Read a dotted key."""
        keys = []
        while True:
            key = _KEY.match(self.text, self.at)
            assert key is not None
            self.at = key.end()
            bare, literal, basic = key.groups()
            keys.append(_unescape(basic) if basic is not None else bare or literal or "")
            if self.text[self.at : self.at + 1] != ".":
                return tuple(keys)
            self.at += 1

    def _gap(self) -> None:
        """Skip white space, line ends and comments."""
        gap = _GAP.match(self.text, self.at)
        assert gap is not None
        self.at = gap.end()

    def _record(self, path: Path, offset: int) -> None:
        if path not in self.lines:
            self.lines[path] = bisect_left(self.line_ends, offset) + 1


def _unescape(raw: str) -> str:
    if "\\" not in raw:
        return raw
    import tomllib

    value = tomllib.loads(f'key = "{raw}"')["key"]
    assert isinstance(value, str)
    return value
