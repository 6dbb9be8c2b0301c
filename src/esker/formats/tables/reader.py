"""Tables read into frozen structs: the struct types are the schema, and one reading finds every mistake of a file.

A table is what a reader of TOML or JSON gives: dictionaries with text keys, lists, texts, numbers, booleans. `read`
walks a type and a value together. What fits becomes a value of the type; what does not is noted in a `Report` with its
path, and the reading goes on with the rest. A type says more by `Annotated`:

    Since("1.10.0")   the key, or the alternative of a union, belongs to schemas from that version on
    Parsed(function)  the plain value is given to the function, which returns another or raises `Refusal`
    Checked(function) the value that was read and the table it came from are given to the function, which yields faults
    Expected(...)     what to say when no alternative of a union fits
    Rest()            a field that takes every key which is no other field's
    Nullable()        a field whose JSON may say null for what is absent
    ReadBy(function)  the value has a reader of its own, which is given the value and a report whose paths begin there

Keys are the names that msgspec encodes the fields by. Texts hold no NUL character: they become variables and arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

from esker.errors import Problem
from esker.formats.printable import printable
from esker.formats.tables.shapes import (
    Checked,
    Expected,
    Fault,
    Field,
    Nullable,
    Parsed,
    Path,
    ReadBy,
    Rest,
    Shape,
    Since,
    described,
    dotted,
    fields,
    listed,
    near,
    order,
    shape,
)

__all__ = [
    "Checked",
    "Expected",
    "Fault",
    "Nullable",
    "Parsed",
    "Path",
    "ReadBy",
    "Refusal",
    "Report",
    "Rest",
    "Since",
    "dotted",
    "key_paths",
    "listed",
    "near",
    "printable",
    "read",
]

T = TypeVar("T")


class Refusal(ValueError):
    """A value is not written as its notation wants; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Report:
    """The problems of one file, with the lines of its keys and the schema version that it follows."""

    def __init__(self, lines: Mapping[Path, int] | None = None) -> None:
        self.lines = lines or {}
        self.schema: str | None = None
        """None knows every key."""
        self.problems: list[Problem] = []
        self.root: Path = ()

    def below(self, path: Path) -> Report:
        """Return a report of the same file whose paths begin at `path`, with a schema of its own."""
        child = Report(self.lines)
        child.problems, child.root = self.problems, (*self.root, *path)
        return child

    def note(self, path: Path, message: str, hint: str | None) -> None:
        """Note a problem in the line of `path` or of the nearest known key above it."""
        path = (*self.root, *path)
        line = next((self.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.lines), None)
        self.problems.append(Problem(printable(message), line=line, hint=hint and printable(hint)))

    def refuse(self, path: Path, message: str, hint: str | None, *, where: Path | None = None) -> None:
        """Note a problem at `path`; the message says `where`, which is `path` or the table that it stands in."""
        where = (*self.root, *(path if where is None else where))
        self.note(path, message + (f"\nin `{dotted(where)}`" if where else ""), hint)

    def knows(self, since: str | None) -> bool:
        """Return whether the file's schema has what came with `since`."""
        return since is None or self.schema is None or order(self.schema) >= order(since)


_NOTHING: Any = object()
"""What is read from a value that fits nothing, after its problem was noted."""


def read(kind: type[T], value: object, report: Report, path: Path = ()) -> T | None:
    """Read a value of `kind`; None when nothing could be made of it, which the report then explains."""
    found = _read(shape(cast("Any", kind)), value, path, report)
    return None if found is _NOTHING else cast("T", found)


def _read(kind: Shape, value: Any, path: Path, report: Report) -> Any:
    found = _read_written(kind, value, path, report)
    if found is not _NOTHING and kind.parsed is not None:
        try:
            found = kind.parsed.parse(found)
        except Refusal as refusal:
            report.refuse(path, refusal.message, refusal.hint)
            return _NOTHING
    if found is not _NOTHING:
        for checked in kind.checks:
            for fault in checked.check(found, value):
                report.note((*path, *fault.path), fault.message, fault.hint)
    return found


def _read_written(kind: Shape, value: Any, path: Path, report: Report) -> Any:
    """Read a value as it is written, before its notation is parsed."""
    if kind.reader is not None:
        return kind.reader(value, report.below(path))
    if kind.alternatives:
        return _read_alternative(kind, value, path, report)
    if not kind.fits(value):
        hint = f"write `{kind.example(path)}`" if path else None
        report.refuse(path, f"invalid type: {described(value)}, expected {kind.phrase()}", hint)
        return _NOTHING
    reader = _read_struct if kind.is_struct() else _READERS.get(get_origin(kind.written) or kind.written)
    return value if reader is None else reader(kind, value, path, report)


def _read_struct(kind: Shape, table: dict[str, Any], path: Path, report: Report) -> Any:
    every = fields(kind.written)
    rest = next((field for field in every.values() if field.shape.rest), None)
    known = {key: field for key, field in every.items() if field is not rest and report.knows(field.shape.since)}
    values: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in table.items():
        if key in known:
            if value is None and known[key].shape.nullable:
                continue
            values[known[key].name] = _read(known[key].shape, value, (*path, key), report)
        elif rest is not None and key not in every:
            others[key] = value
        else:
            late = _needs(key, every[key].shape, report) if key in every else None
            hint = late or near(key, known) or "remove it, or correct its name"
            expected = f", expected {listed(known)}" if known else ""
            report.refuse((*path, key), f"unknown field `{key}`{expected}", hint, where=path)
    if rest is not None:
        values[rest.name] = _read(rest.shape, others, path, report)
    for key, field in known.items():
        if field.required and key not in table:
            report.refuse(path, f"missing field `{key}`", f"add `{field.shape.example((key,))}`")
    values = {name: value for name, value in values.items() if value is not _NOTHING}
    complete = all(field.name in values for field in every.values() if field.required)
    return kind.written(**values) if complete else _NOTHING


def _read_map(kind: Shape, table: dict[str, Any], path: Path, report: Report) -> Any:
    key_kind, value_kind = (shape(argument) for argument in get_args(kind.written))
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = _read(key_kind, key, (*path, key), report)
        entry = _read(value_kind, value, (*path, key), report)
        if name in found:
            report.refuse((*path, key), f"`{name}` stands here twice", "remove one of the two")
        elif name is not _NOTHING and entry is not _NOTHING:
            found[name] = entry
    return dict(sorted(found.items()))


def _read_elements(kind: Shape, values: list[Any], path: Path, report: Report) -> Any:
    element = shape(get_args(kind.written)[0])
    found = [_read(element, value, (*path, str(index)), report) for index, value in enumerate(values)]
    container: Any = get_origin(kind.written)
    return container(value for value in found if value is not _NOTHING)


def _read_text(_: Shape, value: str, path: Path, report: Report) -> Any:
    if "\0" not in value:
        return value
    report.refuse(path, "the text holds a NUL character", "no variable or argument can hold one: take it out")
    return _NOTHING


def _read_choice(kind: Shape, value: str, path: Path, report: Report) -> Any:
    choices = kind.choices()
    if value in choices:
        return value
    hint = near(value, choices) or f"write `{kind.example(path)}`"
    report.refuse(path, f"unknown variant `{value}`, expected {listed(choices)}", hint)
    return _NOTHING


_READERS: dict[Any, Callable[[Shape, Any, Path, Report], Any]] = {
    Mapping: _read_map,
    tuple: _read_elements,
    frozenset: _read_elements,
    Literal: _read_choice,
    str: _read_text,
}


def _read_alternative(kind: Shape, value: Any, path: Path, report: Report) -> Any:
    """Read the alternative that the value's type chooses, or for tables a key that only this one has and must have."""
    known = [one for one in kind.alternatives if report.knows(one.since)]
    fitting = [one for one in known if one.fits(value)]
    choices = tuple(choice for one in fitting for choice in one.choices())
    if choices:
        later = next((one for one in kind.alternatives if one not in known and value in one.choices()), None)
        if later is None:
            return _read(shape(Literal[choices]), value, path, report)
        report.refuse(path, f"unknown variant `{value}`, expected {listed(choices)}", _needs(value, later, report))
        return _NOTHING
    tables = [fields(one.written) for one in fitting] if isinstance(value, dict) else []
    if tables:
        fitting = [one for one, keys in zip(fitting, _own_keys(tables), strict=True) if keys & value.keys()]
    if fitting:
        return _read(fitting[0], value, path, report)
    phrases = " or ".join(dict.fromkeys(one.phrase() for one in known))
    expected = kind.expected or Expected(
        f"invalid type: {described(value)}, expected {phrases}", f"write `{known[0].example(path)}`"
    )
    keys = set().union(*tables)
    guesses = (near(key, keys) for key in (value if tables else ()) if key not in keys)
    report.refuse(path, expected.message, next(filter(None, guesses), expected.hint))
    return _NOTHING


def _own_keys(tables: list[dict[str, Field]]) -> Iterator[set[str]]:
    """Yield for each table the keys that must be there and that no other table has."""
    for table in tables:
        others = set().union(*(other for other in tables if other is not table))
        yield {key for key, field in table.items() if field.required} - others


def _needs(word: str, kind: Shape, report: Report) -> str:
    return f'`{word}` needs `schema-version = "{kind.since}"` or later; this file follows {report.schema}'


def key_paths(kind: Any, path: Path = ()) -> Iterator[tuple[Path, str | None]]:
    """Yield the path of every key that a type knows, with the schema version it came with; a free name is `<name>`."""
    whole = shape(kind)
    for one in whole.alternatives:
        yield from key_paths(one.kind, path)
    origin = get_origin(whole.written)
    if origin is Mapping:
        yield from key_paths(get_args(whole.written)[1], (*path, "<name>"))
    elif origin is tuple:
        yield from key_paths(get_args(whole.written)[0], path)
    elif whole.is_struct():
        for key, field in fields(whole.written).items():
            here = path if field.shape.rest else (*path, key)
            if not field.shape.rest:
                yield here, field.shape.since
            yield from key_paths(field.shape.kind, here)
