"""What an unpacked package brings: a file of ours in its `info`, written once all its own claims have been checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from esker.formats.conda.package_info import EntryPoint, Placeholder
from esker.formats.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FILE_NAME", "Contents", "Item", "parse", "render"]

FILE_NAME = "info/esker.json"
"""Where it lies in the store path of a package. Its hash is in the record of that path, as those of all files are."""


class Item(NamedTuple):
    """A file or a link that a package installs."""

    kind: str
    """`file`, `program` or `link`, as in a listing."""
    value: str
    """The SHA-256 of a file as it lies in the package, or the target of a link."""
    size: int
    placeholder: Placeholder | None = None


class Contents(NamedTuple):
    """Everything that a package installs."""

    items: Mapping[str, Item]
    """By path in the package, sorted."""
    directories: tuple[str, ...]
    """Those that are to exist even if nothing lies in them."""
    is_python: bool
    """Whether it is a package of Python modules for every system, which are put where the interpreter finds them."""
    entry_points: tuple[EntryPoint, ...]
    site_packages: str | None
    """Where this interpreter has its packages; None for other packages, and for one that does not say it."""


def render(contents: Contents) -> bytes:
    """Return the content of the file."""
    placeholders: dict[Placeholder, int] = {}
    items = {}
    for path, item in contents.items.items():
        line: list[object] = [item.kind, item.value, item.size]
        if item.placeholder is not None:
            line.append(placeholders.setdefault(item.placeholder, len(placeholders)))
        items[path] = line
    texts = [[each.text.decode(), each.is_binary] for each in placeholders]
    value = {
        "items": items,
        "placeholders": texts,
        "directories": contents.directories,
        "is_python": contents.is_python,
        "entry_points": contents.entry_points,
        "site_packages": contents.site_packages,
    }
    return json.dumps(value, separators=(",", ":")).encode()


def parse(data: bytes) -> Contents:
    """Read what `render` wrote; raises ValueError, KeyError or TypeError for anything else."""
    value = json_value(data)
    placeholders = [Placeholder(text.encode(), bool(is_binary)) for text, is_binary in value["placeholders"]]
    items = {}
    for path, (kind, content, size, *placeholder) in value["items"].items():
        items[path] = Item(kind, content, size, placeholders[placeholder[0]] if placeholder else None)
    return Contents(
        items,
        tuple(value["directories"]),
        value["is_python"],
        tuple(EntryPoint(*each) for each in value["entry_points"]),
        value["site_packages"],
    )
