"""The rules that an annotated type states, collected once for each type, and the words that messages use for them.

Only `tables.reader` imports this module. It makes the notes (`Since`, `Parsed`, …) public.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

Path = tuple[str, ...]


class Since(NamedTuple):
    """The first schema version that has a key or an alternative."""

    version: str


class RequiredBefore(NamedTuple):
    """The first schema version in which a key may be left out; the field is optional for Python."""

    version: str


class Parsed(NamedTuple):
    """How the value in the file becomes the value in the struct."""

    parse: Callable[[Any], Any]
    written: Any = None
    """The type of the value in the file; None means the annotated type."""
    example: str | None = None
    """A value as a file may write it, for hints."""
    is_rule: bool = False
    """Whether the function only refuses values, so that files which another program has written need not pass it."""


class Fault(NamedTuple):
    """One mistake that a `Checked` rule found."""

    path: Path
    """Relative to the value that was checked."""
    message: str
    hint: str


class Checked(NamedTuple):
    """A rule about a whole value; the function gets what could be read of it, and the table as the file has it."""

    check: Callable[[Any, Any], Iterable[Fault]]


class Expected(NamedTuple):
    """The message and hint for a value that fits none of the alternatives."""

    message: str
    hint: str


class Elsewhere(NamedTuple):
    """What people write who know another program: keys of a table, or values of a choice."""

    pairs: tuple[tuple[str, str], ...]
    """Such a word, and for a choice what to write in its place, for a key the hint; `NAME` in it is the table's."""


class Rest(NamedTuple):
    """Marks the field that collects every key that no other field has."""


class Nullable(NamedTuple):
    """Marks a field that may be null, which means that it is absent."""


class ReadBy(NamedTuple):
    """A function that reads the value; it gets the value and a report whose paths begin there."""

    read: Callable[[Any, Any], Any]


class Shape(NamedTuple):
    """A type taken apart: the plain type, and what its notes say."""

    kind: Any
    """The type with its notes."""
    written: Any
    """The type of the value in the file, without notes and without None."""
    alternatives: tuple[Shape, ...]
    since: str | None
    required_before: str | None
    parsed: Parsed | None
    checks: tuple[Checked, ...]
    expected: Expected | None
    elsewhere: Mapping[str, str]
    """Words of other programs, with what to write for them."""
    reader: Callable[[Any, Any], Any] | None
    rest: bool
    nullable: bool

    def is_struct(self) -> bool:
        """Return whether values are tables with fixed keys."""
        return isinstance(self.written, type) and issubclass(self.written, msgspec.Struct)

    def choices(self) -> tuple[str, ...]:
        """Return the allowed strings of a `Literal`; empty for every other type."""
        return get_args(self.written) if get_origin(self.written) is Literal else ()

    def fits(self, value: object) -> bool:
        """Return whether a value is of this type, without looking at what it contains."""
        kind = get_origin(self.written) or self.written
        if kind is Any:
            return True
        if isinstance(value, bool):  # which Python counts as an int
            return kind is bool
        plain: Any = {Literal: str, tuple: list, frozenset: list, Mapping: dict, float: (int, float)}
        return isinstance(value, dict if self.is_struct() else plain.get(kind, kind))

    def phrase(self, table: str = "table") -> str:
        """Return how a message describes a value of this type; `table` is the file's word for a table."""
        if self.choices():
            return listed(self.choices())
        article = "an" if table[0] in "aeiou" else "a"
        return _PHRASES.get(get_origin(self.written) or self.written, f"{article} {table}")

    def example(self, path: Path) -> str:
        """Return an example of this type: `key = value`, or the value alone for an array element."""
        if self.alternatives:
            return self.alternatives[0].example(path)
        kind, choices = get_origin(self.written) or self.written, self.choices()
        value = f'"{choices[0]}"' if choices else _EXAMPLES.get(kind, "{ … }")
        if kind is Mapping and not choices:
            inner = shape(get_args(self.written)[1])
            value = f"{{ {inner.example(('NAME',))} }}" if not (inner.is_struct() or inner.reader) else value
        value = (self.parsed and self.parsed.example) or value
        return value if path[-1].isdigit() else f"{dotted(path[-1:])} = {value}"


class Field(NamedTuple):
    """A field of a struct."""

    name: str
    shape: Shape
    required: bool


@functools.cache
def shape(kind: Any) -> Shape:
    """Return the shape of a type."""
    notes: list[Any] = []
    written: Any = kind
    alternatives: tuple[Any, ...] = ()
    # Peel off notes and `| None`, which may be nested in any order, until a plain type or a real union is left.
    while True:
        if get_origin(written) is Annotated:
            written, *more = get_args(written)
            notes += more
            written = next((note.written for note in more if isinstance(note, Parsed) and note.written), written)
            continue
        union = get_origin(written) in {Union, types.UnionType}
        alternatives = tuple(member for member in get_args(written) if member is not types.NoneType) if union else ()
        if len(alternatives) != 1:
            break
        written = alternatives[0]
    return Shape(
        kind=kind,
        written=written,
        alternatives=tuple(shape(alternative) for alternative in alternatives),
        since=next((note.version for note in notes if isinstance(note, Since)), None),
        required_before=next((note.version for note in notes if isinstance(note, RequiredBefore)), None),
        parsed=next((note for note in notes if isinstance(note, Parsed)), None),
        checks=tuple(note for note in notes if isinstance(note, Checked)),
        expected=next((note for note in notes if isinstance(note, Expected)), None),
        elsewhere=dict(next((note.pairs for note in notes if isinstance(note, Elsewhere)), ())),
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
_WRITTEN = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array"}
_SHOWN = 40
"""How many characters of a wrong value a message shows."""


def order(version: str) -> tuple[int, ...]:
    """Return the key by which a dotted version sorts."""
    return tuple(int(part) for part in version.split("."))


def dotted(path: Path) -> str:
    """Return a path as TOML writes it, with quotes where a key needs them.

    >>> dotted(("install", "a.b", "pkg-path"))
    'install."a.b".pkg-path'
    """
    return ".".join(
        key if key.isascii() and key.replace("-", "").replace("_", "").isalnum() else f'"{key}"' for key in path
    )


_LONG_ENOUGH = 5
"""Characters of a part of a name that is taken for the name."""


def near(name: str, names: Iterable[str], *, closeness: float = 0.6) -> str | None:
    """Return a hint with the name that was probably meant, or None if no name is close.

    With a higher `closeness`, up to 1, more letters have to be the same.
    """
    import difflib

    words = list(names)
    matches = difflib.get_close_matches(name, words, n=1, cutoff=closeness)
    if not matches and len(name) >= _LONG_ENOUGH:
        matches = [word for word in words if name in word]
    return f"did you mean `{matches[0]}`?" if matches else None


def listed(names: Iterable[str]) -> str:
    """Return names as a message lists them.

    >>> listed(["a", "b", "c"]), listed(["a", "b"])
    ('one of `a`, `b`, `c`', '`a` or `b`')
    """
    *more, last = [f"`{name}`" for name in names]
    return f"one of {', '.join([*more, last])}" if more[1:] else " or ".join([*more, last])


def described(value: object, table: str = "table") -> str:
    """Return how a message describes a value that has the wrong type; `table` is the file's word for a table."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return table
    word = _WRITTEN.get(type(value), "date or time")
    if isinstance(value, list):
        return word
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{word} `{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}`"
