"""A service in a container that one word adds: its part of a Compose file, and the password that it is made with.

The Compose file is edited as text, so that comments, anchors and order stay. Only its top level is looked at: keys at
the beginning of a line, and the names that stand at the first indentation below `services` and `volumes`. A file whose
top level is written in another way, such as in braces, is refused.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from esker.declare.toml_edit import at
from esker.errors import AlreadyExists, NotEditable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.declare.presets.catalogue import Preset
    from esker.formats.tables.reader import Path

__all__ = ["check_tables", "compose_file", "container_lines", "secret_texts", "with_container"]

_TABLE: Path = ("plugins", "esker", "compose")
_KEY = re.compile(r"""(?P<quote>["']?)(?P<name>[\w.-]+)(?P=quote)[ ]*:(?P<rest>([ ].*)?)""")
_REMARK = re.compile(r"[ ]*(#.*)?")


class _Section(NamedTuple):
    """What stands below a key of the top level."""

    start: int
    """The index of the line after the key."""
    end: int
    """The index after its last line that is not blank, or only a comment at the beginning of a line."""
    indentation: str
    names: Mapping[str, int]
    """The line, counted from 1, of each name at the first indentation."""


def compose_file(manifest: str) -> str | None:
    """Return the path of the Compose file that the text of a manifest names, relative to the project; None if none."""
    table = at(tomllib.loads(manifest), _TABLE)
    return table.get("file") if isinstance(table, dict) else None


def check_tables(manifest: str) -> None:
    """Raise NotEditable for a manifest that lists the names of a Compose file's services: then none has a table."""
    table = at(tomllib.loads(manifest), _TABLE)
    if isinstance(table, dict) and isinstance(table.get("services"), list):
        raise NotEditable(
            "`services` of [plugins.esker.compose] is a list, so that a service can have no table",
            hint="write `[plugins.esker.compose.services.NAME]` for each name in its place: esker edit",
        )


def container_lines(preset: Preset, *, secrets: str, project: str) -> str:
    """Return what a Compose file gets, with the paths of passwords and project as the file has to write them."""
    text = preset.text(f"{preset.name}.compose.yaml")
    return text.replace("{secrets}", secrets).replace("{project}", project)


def secret_texts(preset: Preset, password: str) -> dict[str, str]:
    """Return the files with the password of a preset's server, by their names."""
    return {name: text.replace("{password}", password) for name, text in preset.secrets.items()}


def with_container(text: str, added: str, path: str) -> str:
    """Return the text of the Compose file at `path` with the services and volumes of `added`.

    Raises AlreadyExists if it has one of them, and NotEditable if it is laid out in another way than block by block.
    """
    if not text.strip():
        return added
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")]
    blocks = dict(_blocks(added))
    for key, block in blocks.items():
        _check_new(_section(lines, key, path), key, block, path)
    for key, block in blocks.items():
        lines = _with_block(lines, key, block, path)
    return newline.join([*lines, ""])


def _blocks(added: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each key of the top level of a preset's lines, with the lines below it."""
    for part in re.split(r"^(?=\w)", added, flags=re.MULTILINE)[1:]:
        first, *block = part.rstrip("\n").split("\n")
        yield first.removesuffix(":"), block


def _check_new(section: _Section | None, key: str, block: list[str], path: str) -> None:
    (name,) = (line.strip().removesuffix(":") for line in block if re.match(r"  \w", line))
    if section is not None and name in section.names:
        raise AlreadyExists(
            f"the Compose file has `{name}` in `{key}` already",
            hint="rename yours, or change it as you need it",
            place=f"{path}:{section.names[name]}",
        )


def _with_block(lines: list[str], key: str, block: list[str], path: str) -> list[str]:
    section = _section(lines, key, path)
    if section is None:
        return [*lines, "", f"{key}:", *block]
    block = [f"{section.indentation}{line[2:]}" if line else line for line in block]
    gap = [""] if key == "services" and section.names else []
    return [*lines[: section.end], *gap, *block, *lines[section.end :]]


def _section(lines: list[str], key: str, path: str) -> _Section | None:
    """Return what stands below a key of the top level; None if the file has no such key."""
    tops = list(_top_level(lines, path))
    places = [number for number, name, _ in tops if name == key]
    if not places:
        return None
    start = places[0] + 1
    if len(places) > 1 or not _REMARK.fullmatch(next(rest for number, _, rest in tops if number == places[0])):
        raise _not_editable(path, start)
    end = next((number for number, _, _ in tops if number >= start), len(lines))
    while end > start and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    below = [(number, line) for number, line in enumerate(lines[start:end], start + 1) if not _REMARK.fullmatch(line)]
    indentation = below[0][1][: -len(below[0][1].lstrip(" "))] if below else "  "
    names = {}
    for number, line in below:
        match = _KEY.fullmatch(line.removeprefix(indentation))
        if match and line.startswith(indentation):
            names[match["name"]] = number
    if below and (not names or not indentation):
        raise _not_editable(path, below[0][0])
    return _Section(start, end, indentation, names)


def _top_level(lines: list[str], path: str) -> Iterator[tuple[int, str, str]]:
    """Yield index, key and rest of each line of the top level; raises NotEditable for anything but keys and remarks."""
    for number, line in enumerate(lines):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise _not_editable(path, number + 1)
        if (
            line.startswith(" ")
            or _REMARK.fullmatch(line)
            or (line == "---" and not any(map(str.strip, lines[:number])))
        ):
            continue
        match = _KEY.fullmatch(line)
        if match is None:
            raise _not_editable(path, number + 1)
        yield number, match["name"], match["rest"]


def _not_editable(path: str, line: int) -> NotEditable:
    return NotEditable(
        "this Compose file is laid out in a way that Esker cannot edit",
        hint="write its top level with one key a line, and names below `services` and `volumes` indented by spaces",
        place=f"{path}:{line}",
    )
