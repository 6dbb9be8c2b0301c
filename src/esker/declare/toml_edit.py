"""Edits of a TOML text: each takes a text and returns a new one, with every comment, blank line and the order kept.

tomlkit changes an existing list, and removes a key where its lines cannot simply be left out. New keys and tables are
inserted as text where that works: tomlkit would put them behind the comment of the next table. Either way, the new text
is parsed again, and must hold exactly the intended values.
"""

from __future__ import annotations

import copy
import tomllib
from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from esker.errors import NotEditable
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import Path, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tomlkit import TOMLDocument

__all__ = ["at", "parsed", "with_keys", "with_lines", "with_list", "without_bare_key", "without_key"]


def with_list(text: str, path: Path, key: str, values: list[Any]) -> str:
    """Return the text with these `values` in the list `key` of the table at `path`; kept values keep their lines."""
    table = at(tomllib.loads(text), path)
    if table is None or key not in table:
        return with_keys(text, path, {key: values})
    return _first_with(_with_list_candidates(text, (*path, key), values), _intended(text, path, {key: values}))


def _with_list_candidates(text: str, path: Path, values: list[Any]) -> Iterator[str]:
    """Yield two candidates: the text as tomlkit changes the list, and the same with a comma behind its last value.

    If that has no comma and a comment follows, tomlkit would put the comma into the comment.
    """
    yield _with_list(text, path, values)
    yield _with_list(_with_last_comma(text, path), path, values)


def _with_list(text: str, path: Path, values: list[Any]) -> str:
    document: Any = parsed(text)
    array = at(document, path)
    if len(values) < len(array):
        for index in reversed(range(len(array))):
            item = array[index]
            if (item.strip() if isinstance(item, str) else item) not in values:
                del array[index]
    for index, value in enumerate(values):
        if index == len(array):
            array.append(value)
        elif array[index] != value:
            array[index] = value
    return _rendered(document, text)


def _with_last_comma(text: str, path: Path) -> str:
    """Return the text with a comma behind the last value of a list, unless it has one or cannot be found."""
    array = at(parsed(text), path).as_string()
    values = at(tomllib.loads(text), path)
    for index in range(len(array) if text.count(array) == 1 else 0):
        with suppress(tomllib.TOMLDecodeError):
            if tomllib.loads(f"a = {array[:index]}, 0{array[index:]}")["a"] == [*values, 0]:
                return text.replace(array, f"{array[:index]},{array[index:]}")
    return text


def without_key(text: str, path: Path) -> str:
    """Return the text without a key and everything below it; raises NotEditable."""
    values = tomllib.loads(text)
    table = at(values, path[:-1])
    del table[path[-1]]
    # A table that exists only through `install.NAME = …` vanishes with its last key; one with a header stays, empty.
    without_table = {key: values[key] for key in values if key != path[0]}
    return _first_with(_without_key_candidates(text, path), values if table else without_table, values)


def without_bare_key(text: str, path: Path) -> str | None:
    """Return the text without a key, and without its table if that is empty then.

    None if a comment would be lost, and if the text is laid out in a way that cannot be edited.
    """
    try:
        edited = without_key(text, path)
        if not at(tomllib.loads(edited), path[:-1]) and len(path) > 1:
            shorter = _without_header(edited, path[:-1])
            edited = edited if shorter is None else shorter
    except NotEditable:
        return None
    return edited if edited.count("#") == text.count("#") else None


def _without_header(text: str, path: Path) -> str | None:
    """Return the text without the header of an empty table and the blank lines before it; None if it has no header."""
    number = positions(text).get(path)
    lines = text.split("\n")
    if number is None or not lines[number - 1].lstrip().startswith("["):
        return None
    before = "\n".join(lines[: number - 1]).rstrip()
    before += "\r" if before and "\r\n" in text else ""
    edited = "\n".join([*([before] if before else []), *lines[number:]])
    values, remaining = tomllib.loads(text), tomllib.loads(edited)
    for depth in range(len(path), 0, -1):  # tables above exist through the header alone, or have one of their own
        above = at(values, path[: depth - 1])
        del above[path[depth - 1]]
        if remaining == values:
            return edited
        if above:
            break
    return None


def _without_key_candidates(text: str, path: Path) -> Iterator[str]:
    """Yield two candidates: the text without the lines of the key, and the text as tomlkit removes the key."""
    import tomlkit

    numbers = {number for key, number in positions(text).items() if key[: len(path)] == path}
    yield "\n".join(line for number, line in enumerate(text.split("\n"), 1) if number not in numbers)
    document: Any = tomlkit.parse(text)
    del at(document, path[:-1])[path[-1]]
    yield _rendered(document, text)


def with_keys(text: str, path: Path, keys: Mapping[str, Any]) -> str:
    """Return the text with new keys in the table at `path`, which is created if it is missing."""
    return _first_with(_with_keys_candidates(text, path, keys), _intended(text, path, keys))


def _with_keys_candidates(text: str, path: Path, keys: Mapping[str, Any]) -> Iterator[str]:
    """Yield texts with the new keys, the tidiest first; for some documents a candidate is not valid TOML."""
    import tomlkit

    newline = "\r\n" if "\r\n" in text else "\n"
    items = {key: tomlkit.item(value) for key, value in keys.items()}
    for key, item in items.items():
        if isinstance(item, tomlkit.items.Array):
            item.multiline(multiline=key == "dependencies")
    new_lines = [line for key, item in items.items() for line in f"{key} = {item.as_string()}".split("\n")]
    lines, number = text.split("\n"), positions(text).get(path)
    if number is not None and lines[number - 1].lstrip().startswith("["):
        below = "\n".join(lines[number:])
        yield newline.join(["\n".join(lines[:number]).removesuffix("\r"), *new_lines, below])
    if number is None:
        yield newline.join([text.rstrip(), "", f"[{dotted(path)}]", *new_lines, ""])
    document: Any = tomlkit.parse(text)
    table = document
    for key in path:
        if key not in table:
            table[key] = {}
        table = table[key]
    table.update(items)
    yield _rendered(document, text)


def with_lines(text: str, path: Path, lines: str) -> str:
    """Return the text with new keys in the table at `path`, written as in `lines`, which may have comments.

    A table that is missing is created behind those that it belongs to, or at the end.
    """
    keys = tomllib.loads(lines)
    return _first_with(_with_lines_candidates(text, path, lines.strip("\n"), keys), _intended(text, path, keys))


def _with_lines_candidates(text: str, path: Path, added: str, keys: Mapping[str, Any]) -> Iterator[str]:
    """Yield texts with the new lines, the tidiest first, and at last without their comments."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines, places = [line.removesuffix("\r") for line in text.split("\n")], positions(text)
    headers = {key: number for key, number in places.items() if lines[number - 1].lstrip().startswith("[")}
    new, number = added.split("\n"), places.get(path)
    if number is not None and path in headers:
        end = _end_of_table(lines, number, sorted(headers.values()))
        yield newline.join([*lines[:end], *([""] if end > number else []), *new, *_below(lines, end)])
    if number is None:
        new = [f"[{dotted(path)}]", *new]
        related = [place for key, place in headers.items() if key[:1] == path[:1]]
        if related:
            end = _end_of_table(lines, max(related), sorted(headers.values()))
            yield newline.join([*lines[:end], "", *new, *_below(lines, end)])
        yield newline.join([*"\n".join(lines).rstrip().split("\n"), "", *new, ""])
    yield from _with_keys_candidates(text, path, keys)


def _below(lines: list[str], end: int) -> list[str]:
    """Return the lines from `end` on, with a blank line before them."""
    below = lines[end:] or [""]
    return ["", *below] if below[0].strip() else below


def _end_of_table(lines: list[str], header: int, headers: list[int]) -> int:
    """Return after how many lines a table ends; the comment above the next header is not part of it."""
    end = next((number - 1 for number in headers if number > header), len(lines))
    if end < len(lines):
        while end > header and lines[end - 1].lstrip().startswith("#"):
            end -= 1
        if end == header or lines[end - 1].strip():  # no blank line tells whose comment it is
            end = next(number - 1 for number in headers if number > header)
    while end > header and not lines[end - 1].strip():
        end -= 1
    return end


def _rendered(document: TOMLDocument, before: str) -> str:
    """Return an edited document as text, with the line endings and the inner spaces of the text before the edit."""
    text = _with_inner_space(document.as_string(), before)
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in before else text


def _with_inner_space(text: str, before: str) -> str:
    """Return an edited text with a space before the `}` of each inline table that had one; tomlkit loses it."""
    lines, old_lines = text.split("\n"), before.split("\n")
    if len(lines) != len(old_lines):
        return text
    for number, (line, old) in enumerate(zip(lines, old_lines, strict=True)):
        pairs = zip(reversed(line), reversed(old), strict=False)
        ending = "".join(new for new, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))[::-1]
        if line != old and ending.startswith("}") and old.removesuffix(ending).endswith(" "):
            lines[number] = f"{line.removesuffix(ending)} {ending}"
    return "\n".join(lines)


def _intended(text: str, path: Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a text, with `keys` set in the table at `path`."""
    values = copy.deepcopy(tomllib.loads(text))
    table = values
    for key in path:
        table = table.setdefault(key, {})
    table.update(keys)
    return values


def _first_with(candidates: Iterable[str], *values: Mapping[str, Any]) -> str:
    """Return the first candidate that parses to exactly one of the `values`; raises NotEditable if none does."""
    from tomlkit.exceptions import TOMLKitError

    with suppress(TOMLKitError):  # as `parsed` says
        for candidate in candidates:
            try:
                if tomllib.loads(candidate) in values:
                    return candidate
            except tomllib.TOMLDecodeError:
                continue
    raise _not_editable()


def parsed(text: str) -> TOMLDocument:
    """Return the document of a valid TOML text; raises NotEditable for one that tomlkit does not read all the same."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise _not_editable() from error


def _not_editable() -> NotEditable:
    return NotEditable(
        "this manifest is laid out in a way that Esker cannot edit", hint="change it yourself: esker edit"
    )


def at(values: Any, path: Path) -> Any:
    """Return what is at `path` in nested tables, or None if a table on the way is missing."""
    for key in path:
        values = values.get(key) if values is not None else None
    return values
