"""What a type says about the values it takes, worked out once for each type, and how both are spoken of.

Only `typed_tables` reads this module; the notes are public there.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

Path = tuple[str, ...]


class Since(NamedTuple):
    """The first schema version that knows a key or an alternative."""

    version: str


class Parsed(NamedTuple):
    """The notation of a value: how the value as it is written becomes the value that is meant."""

    parse: Callable[[Any], Any]
    written: Any = None
    """The type of the value as it is written, where that is another than the annotated one."""
    example: str | None = None
    """A value as it may be written."""


class Fault(NamedTuple):
    """One mistake below the value that is checked: where, what, and what to do."""

    path: Path
    message: str
    hint: str


class Checked(NamedTuple):
    """A rule about a whole value; it sees what could be read of it, and the table as it was written."""

    check: Callable[[Any, Any], Iterable[Fault]]


class Expected(NamedTuple):
    """What to say when a value is none of the alternatives."""

    message: str
    hint: str


class Rest(NamedTuple):
    """Marks the field that takes every other key."""


class Nullable(NamedTuple):
    """Marks the field whose JSON may say null for what is absent."""


class ReadBy(NamedTuple):
    """A value that a function of its own reads; it is given the value and a report whose paths begin there."""

    read: Callable[[Any, Any], Any]


class Shape(NamedTuple):
    """A type without its notes, and what the notes say."""

    kind: Any
    written: Any
    """The type of the value as it is written, without None."""
    alternatives: tuple[Shape, ...]
    since: str | None
    parsed: Parsed | None
    checks: tuple[Checked, ...]
    expected: Expected | None
    reader: Callable[[Any, Any], Any] | None
    rest: bool
    nullable: bool

    def is_struct(self) -> bool:
        """Return whether values are tables with fixed keys."""
        return isinstance(self.written, type) and issubclass(self.written, msgspec.Struct)

    def choices(self) -> tuple[str, ...]:
        """Return the texts that a value is one of, if only these are allowed."""
        return get_args(self.written) if get_origin(self.written) is Literal else ()

    def fits(self, value: object) -> bool:
        """Return whether the outermost part of a value is of this type."""
        kind = get_origin(self.written) or self.written
        if kind is Any:
            return True
        if isinstance(value, bool):
            return kind is bool
        plain: Any = {Literal: str, tuple: list, frozenset: list, Mapping: dict, float: (int, float)}
        return isinstance(value, dict if self.is_struct() else plain.get(kind, kind))

    def phrase(self) -> str:
        """Return what a message calls a value of this type."""
        return (
            listed(self.choices())
            if self.choices()
            else _PHRASES.get(get_origin(self.written) or self.written, "a table")
        )

    def example(self, path: Path) -> str:
        """Return how a value of this type may be written at a path."""
        if self.alternatives:
            return self.alternatives[0].example(path)
        kind, choices = get_origin(self.written) or self.written, self.choices()
        value = f'"{choices[0]}"' if choices else _EXAMPLES.get(kind, "{ … }")
        value = (self.parsed and self.parsed.example) or value
        return value if path[-1].isdigit() else f"{dotted(path[-1:])} = {value}"


class Field(NamedTuple):
    """A field of a struct."""

    name: str
    shape: Shape
    required: bool


@functools.cache
def shape(kind: Any) -> Shape:
    """Return what a type says."""
    notes: list[Any] = []
    written: Any = kind
    alternatives: tuple[Any, ...] = ()
    while True:
        if get_origin(written) is Annotated:
            written, *more = get_args(written)
            notes += more
            written = next((note.written for note in more if isinstance(note, Parsed) and note.written), written)
            continue
        union = get_origin(written) in {Union, types.UnionType}
        alternatives = tuple(one for one in get_args(written) if one is not types.NoneType) if union else ()
        if len(alternatives) != 1:
            break
        written = alternatives[0]
    return Shape(
        kind=kind,
        written=written,
        alternatives=tuple(shape(one) for one in alternatives),
        since=next((note.version for note in notes if isinstance(note, Since)), None),
        parsed=next((note for note in notes if isinstance(note, Parsed)), None),
        checks=tuple(note for note in notes if isinstance(note, Checked)),
        expected=next((note for note in notes if isinstance(note, Expected)), None),
        reader=next((note.read for note in notes if isinstance(note, ReadBy)), None),
        rest=any(isinstance(note, Rest) for note in notes),
        nullable=any(isinstance(note, Nullable) for note in notes),
    )


@functools.cache
def fields(kind: Any) -> dict[str, Field]:
    """Return the fields of a struct type by key."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.encode_name: Field(field.name, shape(hints[field.name]), field.required)
        for field in msgspec.structs.fields(kind)
    }


# Words for people.

_PHRASES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", tuple: "an array"}
_PHRASES[frozenset] = _PHRASES[tuple]
_EXAMPLES = {str: '"…"', bool: "true", int: "5", float: "5", tuple: '["…"]', frozenset: '["…"]'}
_WRITTEN = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "table"}
_SHOWN = 40
"""How much of a wrong value a message shows."""


def order(version: str) -> tuple[int, ...]:
    """Return what a dotted version sorts by."""
    return tuple(int(part) for part in version.split("."))


def dotted(path: Path) -> str:
    """Return a path as TOML writes it, with quotes where a key needs them.

    >>> dotted(("install", "a.b", "pkg-path"))
    'install."a.b".pkg-path'
    """
    return ".".join(
        key if key.isascii() and key.replace("-", "").replace("_", "").isalnum() else f'"{key}"' for key in path
    )


def near(name: str, names: Iterable[str]) -> str | None:
    """Return the hint that names what was probably meant, if anything is close."""
    import difflib

    found = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean `{found[0]}`?" if found else None


def listed(names: Iterable[str]) -> str:
    """Return names as a message lists them.

    >>> listed(["a", "b", "c"]), listed(["a", "b"])
    ('one of `a`, `b`, `c`', '`a` or `b`')
    """
    *more, last = [f"`{name}`" for name in names]
    return f"one of {', '.join([*more, last])}" if more[1:] else " or ".join([*more, last])


def described(value: object) -> str:
    """Return what a message calls a value that is not of the right type."""
    if value is None:
        return "null"
    word = _WRITTEN.get(type(value), "date or time")
    if isinstance(value, (dict, list)):
        return word
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{word} `{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}`"
