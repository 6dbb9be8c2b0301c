"""The text of a manifest that nobody has written: of one that was merged from several.

It is TOML with a header a section. The keys of a package stand on lines of their own, as in `hello.pkg-path = "hello"`.
A text of several lines is written as such where TOML's literal strings can hold it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from esker.formats.manifest import Manifest, record
from esker.formats.toml_values import inline, string

if TYPE_CHECKING:
    from esker.formats.tables.reader import Path

__all__ = ["render"]

_DOTTED = {("install",), ("pkg-groups",)}
"""The sections whose entries have no headers of their own."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NOT_LITERAL = re.compile(r"'''|[^\t\n\x20-\x7e\x80-\U0010ffff]")


def render(manifest: Manifest) -> str:
    """Return a manifest as TOML; read again, it is the same manifest."""
    table = record(manifest)
    if not table["options"]:
        del table["options"]
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: Path) -> Iterator[str]:
    """Yield the lines of the table at `path`: its own values below its header, then its tables."""
    if path in _DOTTED:
        values = list(_flat(table, ()))
        tables = {}
    else:
        values = [((key,), value) for key, value in table.items() if not isinstance(value, Mapping)]
        tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    if path and (values or not tables):
        yield from ("", f"[{_key(path)}]")
    for keys, value in values:
        yield f"{_key(keys)} = {_value(value)}"
    for key, inner in tables.items():
        yield from _lines(inner, (*path, key))


def _flat(table: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, (*path, key))
        else:
            yield (*path, key), value


def _key(path: Path) -> str:
    return ".".join(key if _BARE.fullmatch(key) else string(key) for key in path)


def _value(value: Any) -> str:
    if isinstance(value, str):
        is_literal = "\n" in value and not value.endswith("'") and not _NOT_LITERAL.search(value)
        return f"'''\n{value}'''" if is_literal else string(value)
    return inline(value)
