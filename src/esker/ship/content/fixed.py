"""Units whose entries are few and made here: their key is the hash of all that they hold."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from esker.errors import ImageError
from esker.host import files
from esker.ship.image.unit import File, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.ship.image.unit import Entry

__all__ = ["fixed_unit"]


def fixed_unit(name: str, entries: Sequence[Entry], category: str) -> Unit:
    """Return a unit of these entries; a file that is named by its path on this machine is read for the key.

    Raises ImageError for a file that cannot be read.
    """
    described: list[object] = []
    size = 0
    for entry in sorted(entries, key=lambda entry: entry.path):
        values = entry._asdict()
        if isinstance(entry, File):
            content = entry.source
            if isinstance(content, str):
                with files.refused("read", content, ImageError), open(content, "rb") as file:
                    content = file.read()
            values["source"] = sha256(content).hexdigest()
            size += len(content)
        described.append([type(entry).__name__, values])
    key = sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return Unit(name, key, size, _Entries(tuple(entries)), category)


class _Entries:
    """A function that returns the entries, and that another process can be given."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = entries

    def __call__(self) -> tuple[Entry, ...]:
        return self._entries
