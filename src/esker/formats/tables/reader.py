"""Reads tables into frozen structs. The struct types are the schema, and one pass finds every mistake in a file.

A table is what a parser of TOML or JSON returns: dictionaries with string keys, lists, strings, numbers and booleans.
`read` walks through a type and a value side by side. A part that fits becomes a value of its type. A part that does not
fit is noted in a `Report` with its path, and reading goes on with the rest. `Annotated` adds rules to a type:

    Since("1.10.0")    the key, or the alternative of a union, exists from that schema version on
    RequiredBefore(v)  the key may be left out from schema version v on
    Parsed(function)   the function gets the plain value, and returns another value or raises `Refusal`
    Checked(function)  the function gets the value that was read and the table it came from, and yields faults
    Expected(...)      the message for a value that fits no alternative of a union
    Rest()             the field collects every key that belongs to no other field
    Nullable()         the key may be null, which means that it is absent
    ReadBy(function)   the function reads the value; it gets the value and a report whose paths begin there

A key is the name under which msgspec encodes the field. Strings with a NUL character are refused, because strings
become variables and arguments.

A file that another program has written as JSON is read by what its format demands, and not by the rules for people who
write a file: see `Report`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

from esker.errors import Problem, UsageError
from esker.formats.printable import printable
from esker.formats.tables.shapes import (
    Checked,
    Elsewhere,
    Expected,
    Fault,
    Field,
    Nullable,
    Parsed,
    Path,
    ReadBy,
    RequiredBefore,
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
    "Elsewhere",
    "EmptyTable",
    "Expected",
    "Fault",
    "Nullable",
    "Parsed",
    "Path",
    "ReadBy",
    "Refusal",
    "Report",
    "RequiredBefore",
    "Rest",
    "Since",
    "argument",
    "dotted",
    "key_paths",
    "listed",
    "near",
    "order",
    "printable",
    "read",
]

T = TypeVar("T")


class Refusal(ValueError):
    """Raised by the function of a `Parsed` to refuse a value; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@contextmanager
def argument() -> Iterator[None]:
    """Turn a Refusal of the block, which reads an argument of the command line, into a UsageError."""
    try:
        yield
    except Refusal as refusal:
        raise UsageError(refusal.message, hint=refusal.hint) from None


class EmptyTable(dict[str, Any]):
    """An empty table that a file of another program holds: it equals a missing one, but is written again."""


class Report:
    """The problems of one file, the lines of its keys, and the schema version that it follows.

    If `mend` is given, another program has written the file as JSON. Then `mend` is the hint of every problem. Rules
    (`Checked`, and `Parsed` with `is_rule`) are not applied, null means that an optional key is absent, and an empty
    map becomes an `EmptyTable`.
    """

    def __init__(self, lines: Mapping[Path, int] | None = None, *, mend: str | None = None) -> None:
        self.lines = lines or {}
        self.mend = mend
        self.schema: str | None = None
        """The schema version; None means that every key is known."""
        self.problems: list[Problem] = []
        self.root: Path = ()

    def below(self, path: Path) -> Report:
        """Return a report that adds to the same problems, but whose paths begin at `path` and whose schema is unset."""
        child = Report(self.lines, mend=self.mend)
        child.problems, child.root = self.problems, (*self.root, *path)
        return child

    def note(self, path: Path, message: str, hint: str | None, *, is_mend: bool = False) -> None:
        """Add a problem, on the line of `path` or of its nearest parent that has a line.

        With `is_mend` the hint stands, where `mend` would replace it.
        """
        path = (*self.root, *path)
        hint = hint if is_mend else self.mend or hint
        line = next((self.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.lines), None)
        self.problems.append(Problem(printable(message), line=line, hint=hint and printable(hint)))

    def refuse(
        self, path: Path, message: str, hint: str | None, *, where: Path | None = None, is_mend: bool = False
    ) -> None:
        """Add a problem at `path` whose message names a place: `where`, or `path` if `where` is None."""
        where = (*self.root, *(path if where is None else where))
        self.note(path, message + (f"\nin `{dotted(where)}`" if where else ""), hint, is_mend=is_mend)

    @property
    def table(self) -> str:
        """The file's word for a table."""
        return "table" if self.mend is None else "object"

    def knows(self, since: str | None) -> bool:
        """Return whether the file's schema is `since` or a later version; True if either is None."""
        return since is None or self.schema is None or order(self.schema) >= order(since)

    def requires(self, field: Field) -> bool:
        """Return whether a table must have the key of `field` in the file's schema."""
        before = field.shape.required_before
        return field.required or (before is not None and not self.knows(before))


_LONGEST_NUMBER = 18
_NOTHING: Any = object()
"""Stands for a value that could not be read and whose problem was noted. None cannot, because it may be a value."""


def read(kind: type[T], value: object, report: Report, path: Path = ()) -> T | None:
    """Return `value` as a `kind`, or None if it cannot be read as one; the report says why."""
    result = _read(shape(cast("Any", kind)), value, path, report)
    return None if result is _NOTHING else cast("T", result)


def _read(kind: Shape, value: Any, path: Path, report: Report) -> Any:
    result = _read_written(kind, value, path, report)
    ruled = report.mend is None
    if result is not _NOTHING and kind.parsed is not None and (ruled or not kind.parsed.is_rule):
        try:
            result = kind.parsed.parse(result)
        except Refusal as refusal:
            report.refuse(path, refusal.message, refusal.hint)
            return _NOTHING
    if result is not _NOTHING and ruled:
        for checked in kind.checks:
            for fault in checked.check(result, value):
                report.note((*path, *fault.path), fault.message, fault.hint)
    return result


def _read_written(kind: Shape, value: Any, path: Path, report: Report) -> Any:
    """Read a value as the file writes it, before the function of a `Parsed` sees it."""
    if kind.reader is not None:
        return kind.reader(value, report.below(path))
    if kind.alternatives:
        return _read_alternative(kind, value, path, report)
    if not kind.fits(value):
        example = (_chosen(kind, value, path) or _requoted(kind, value, path) or kind.example(path)) if path else None
        hint = _table_hint(kind, value, path) or (example and f"write `{example}`")
        expected = kind.phrase(report.table)
        report.refuse(path, f"invalid type: {described(value, report.table)}, expected {expected}", hint)
        return _NOTHING
    reader = _read_struct if kind.is_struct() else _READERS.get(get_origin(kind.written) or kind.written)
    return value if reader is None else reader(kind, value, path, report)


def _table_hint(kind: Shape, value: Any, path: Path) -> str | None:
    """Return the hint for a list of tables, as `[[a]]` begins one, where a single table is expected."""
    is_list = isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
    if not (is_list and kind.fits({})) or any(part.isdigit() for part in path):
        return None
    return f"write `[{dotted(path)}]` with single brackets, once: it is a table, not a list of tables"


def _requoted(kind: Shape, value: object, path: Path) -> str | None:
    """Return how to write a number or a truth value that is wrongly in quotes, or None if it is something else.

    In an array that is an integer that is wrongly without them.
    """
    if path[-1].isdigit():
        return f'"{value}"' if isinstance(value, int) and not isinstance(value, bool) and kind.fits("") else None
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER:
        return None
    meant = value == "true" if value in {"true", "false"} else int(value) if value.isdecimal() else None
    return f"{dotted(path[-1:])} = {value}" if meant is not None and kind.fits(meant) else None


def _chosen(kind: Shape, value: object, path: Path) -> str | None:
    """Return how to write a choice for which other programs have the word, or truth value, `value`."""
    meant = (
        kind.elsewhere.get(str(value).lower() if isinstance(value, bool) else str(value)) if kind.choices() else None
    )
    return meant and f'{dotted(path[-1:])} = "{meant}"'


def _read_struct(kind: Shape, table: dict[str, Any], path: Path, report: Report) -> Any:
    every = fields(kind.written)
    rest = next((field for field in every.values() if field.shape.rest), None)
    known = {key: field for key, field in every.items() if field is not rest and report.knows(field.shape.since)}
    values: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in table.items():
        if key in known:
            field = known[key]
            if value is None and (field.shape.nullable or (report.mend is not None and not report.requires(field))):
                continue
            values[known[key].name] = _read(known[key].shape, value, (*path, key), report)
        elif rest is not None and key not in every:
            others[key] = value
        else:
            newer = _needs(key, every[key].shape, report) if key in every else None
            here = kind.elsewhere.get(key, "").replace("NAME", dotted(path[-1:]))
            hint = newer or here or near(key, known) or "remove it, or correct its name"
            expected = f", expected {listed(known)}" if known else ""
            if newer and report.mend:
                since = every[key].shape.since
                hint = f"`{key}` came with schema {since}, and this file follows {report.schema}; {report.mend}"
            report.refuse((*path, key), f"unknown field `{key}`{expected}", hint, where=path, is_mend=bool(newer))
    if rest is not None:
        values[rest.name] = _read(rest.shape, others, path, report)
    for key, field in known.items():
        if report.requires(field) and key not in table:
            report.refuse(path, f"missing field `{key}`", f"add `{field.shape.example((key,))}`")
    # An optional field that could not be read is left out, so that the rest of the table can still be checked.
    values = {name: value for name, value in values.items() if value is not _NOTHING}
    complete = all(field.name in values for field in every.values() if report.requires(field))
    return kind.written(**values) if complete else _NOTHING


def _read_map(kind: Shape, table: dict[str, Any], path: Path, report: Report) -> Any:
    key_kind, value_kind = (shape(argument) for argument in get_args(kind.written))
    entries: dict[str, Any] = {}
    for key, value in table.items():
        name = _read(key_kind, key, (*path, key), report)
        entry = _read(value_kind, value, (*path, key), report)
        if name in entries:  # two keys can be parsed to one name
            report.refuse((*path, key), f"`{name}` is declared twice", "remove one of the two")
        elif name is not _NOTHING and entry is not _NOTHING:
            entries[name] = entry
    return dict(sorted(entries.items())) if entries or report.mend is None else EmptyTable()


def _read_elements(kind: Shape, values: list[Any], path: Path, report: Report) -> Any:
    element = shape(get_args(kind.written)[0])
    elements = [_read(element, value, (*path, str(index)), report) for index, value in enumerate(values)]
    container: Any = get_origin(kind.written)
    return container(value for value in elements if value is not _NOTHING)


def _read_text(_: Shape, value: str, path: Path, report: Report) -> Any:
    if "\0" not in value:
        return value
    report.refuse(path, "the text holds a NUL character", "no variable or argument can hold one: take it out")
    return _NOTHING


def _read_choice(kind: Shape, value: str, path: Path, report: Report) -> Any:
    choices = kind.choices()
    if value in choices:
        return value
    meant = _chosen(kind, value, path)
    hint = f"write `{meant}`" if meant else near(value, choices) or f"write `{kind.example(path)}`"
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
    """Read a value as one of the alternatives of a union.

    The type of the value decides which one. Of several kinds of table, it is the one that has a required key which no
    other kind has, and this key is in the table.
    """
    known = [alternative for alternative in kind.alternatives if report.knows(alternative.since)]
    fitting = [alternative for alternative in known if alternative.fits(value)]
    choices = tuple(choice for alternative in fitting for choice in alternative.choices())
    if choices:
        newer = (alternative for alternative in kind.alternatives if alternative not in known)
        later = next((alternative for alternative in newer if value in alternative.choices()), None)
        if later is None:
            return _read(shape(Literal[choices]), value, path, report)
        report.refuse(path, f"unknown variant `{value}`, expected {listed(choices)}", _needs(value, later, report))
        return _NOTHING
    tables = [fields(alternative.written) for alternative in fitting if alternative.is_struct()]
    if len(tables) > 1:
        pairs = zip(fitting, _own_keys(tables), strict=True)
        fitting = [alternative for alternative, keys in pairs if keys & value.keys()]
    if fitting:
        return _read(fitting[0], value, path, report)
    phrases = " or ".join(dict.fromkeys(alternative.phrase(report.table) for alternative in known))
    expected = kind.expected or Expected(
        f"invalid type: {described(value, report.table)}, expected {phrases}", f"write `{known[0].example(path)}`"
    )
    keys = set().union(*tables)
    guesses = (near(key, keys) for key in (value if tables else ()) if key not in keys)
    report.refuse(path, expected.message, next(filter(None, guesses), expected.hint))
    return _NOTHING


def _own_keys(tables: list[dict[str, Field]]) -> Iterator[set[str]]:
    """Yield, for each table, the required keys that no other table has."""
    for table in tables:
        others = set().union(*(other for other in tables if other is not table))
        yield {key for key, field in table.items() if field.required} - others


def _needs(word: str, kind: Shape, report: Report) -> str:
    return f'`{word}` needs `schema-version = "{kind.since}"` or later; this file follows {report.schema}'


def key_paths(kind: Any, path: Path = ()) -> Iterator[tuple[Path, str | None]]:
    """Yield the path of every key that a type knows, and the schema version that added it, if any.

    Where a person chooses the key, the path has `<name>`.
    """
    whole = shape(kind)
    for alternative in whole.alternatives:
        yield from key_paths(alternative.kind, path)
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
