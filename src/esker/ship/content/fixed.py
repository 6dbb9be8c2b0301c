"""Units whose entries are few and made here: their key is the hash of all that they hold."""

from __future__ import annotations

import json
from hashlib import file_digest, sha256
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

    What is read then has to be what was read for the key. Raises ImageError for a file that cannot be read.
    """
    described: list[object] = []
    listed: list[Entry] = []
    size = 0
    for entry in sorted(entries, key=lambda entry: entry.path):
        values = entry._asdict()
        if isinstance(entry, File):
            digest, its_size = _of_file(entry.source) if isinstance(entry.source, str) else _of_bytes(entry.source)
            size += its_size
            listed.append(entry._replace(sha256=digest))
            values = {**values, "source": digest}
            del values["sha256"]
        else:
            listed.append(entry)
        described.append([type(entry).__name__, values])
    key = sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return Unit(name, key, size, _Entries(tuple(listed)), category)


def _of_bytes(content: bytes) -> tuple[str, int]:
    """Return the SHA-256 of a content, and its size."""
    return sha256(content).hexdigest(), len(content)


def _of_file(path: str) -> tuple[str, int]:
    """Return the SHA-256 of a file, and its size."""
    with files.refused("read", path, ImageError), open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest(), file.tell()


class _Entries:
    """A function that returns the entries, and that another process can be given."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = entries

    def __call__(self) -> tuple[Entry, ...]:
        return self._entries
