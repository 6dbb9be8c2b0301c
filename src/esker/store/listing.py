"""Listings: what a tree holds, by path, with the hash of each file. A record can have its digest instead of a NAR hash.

A tree whose files are hard links to files of another store path is described by hashes that are known already. So it is
sealed without being read, and `verify` reads an inode once even if many trees have it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import AlteredFile
from esker.host import trees

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

__all__ = [
    "DIRECTORY",
    "FILE",
    "LINK",
    "PREFIX",
    "PROGRAM",
    "Entry",
    "Listing",
    "check",
    "digest",
    "file_entry",
    "listing",
]

PREFIX = "files-sha256:"
"""What a record's hash begins with if it is the digest of a listing."""
FILE, PROGRAM, LINK, DIRECTORY = "file", "program", "link", "directory"
_CHUNK = 1 << 20


class Entry(NamedTuple):
    """What lies at a path."""

    kind: str
    """FILE, PROGRAM, LINK or DIRECTORY."""
    value: str
    """The SHA-256 of a file in hexadecimal digits, the target of a link, or nothing."""
    size: int
    """Bytes of a file, else 0."""


class Listing(NamedTuple):
    """What a tree holds: everything below its root, directories included."""

    entries: Mapping[str, Entry]


def digest(listed: Listing) -> tuple[bytes, int]:
    """Return the SHA-256 of a listing, and how many bytes its files have."""
    lines = [(path, *entry) for path, entry in sorted(listed.entries.items())]
    return sha256(json.dumps(lines).encode()).digest(), sum(entry.size for entry in listed.entries.values())


def listing(path: str, hashes: MutableMapping[tuple[int, int], str]) -> Listing:
    """Read the tree at `path`; `hashes` has the SHA-256 of files with several names, by device and inode.

    Raises OSError, also for what a store cannot hold.
    """
    entries: dict[str, Entry] = {}
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(f"{path}/{below}") as children:
            for child in children:
                place = f"{below}{child.name}"
                status = child.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    entries[place] = Entry(DIRECTORY, "", 0)
                    pending.append(f"{place}/")
                elif stat.S_ISLNK(status.st_mode):
                    entries[place] = Entry(LINK, os.readlink(child.path), 0)
                else:
                    entries[place] = file_entry(child.path, hashes)
    return Listing(entries)


def file_entry(path: str, hashes: MutableMapping[tuple[int, int], str]) -> Entry:
    """Hash the file at `path`, unless `hashes` has it; raises OSError if it is no regular file."""
    descriptor = trees.open_file(path)
    try:
        status = os.fstat(descriptor)
        key = status.st_dev, status.st_ino
        value = hashes.get(key)
        if value is None:
            whole = sha256()
            while data := os.read(descriptor, _CHUNK):
                whole.update(data)
            value = whole.hexdigest()
            if status.st_nlink > 1:
                hashes[key] = value
    finally:
        os.close(descriptor)
    return Entry(PROGRAM if status.st_mode & stat.S_IXUSR else FILE, value, status.st_size)


def check(path: str, listed: Listing) -> None:
    """Make the tree at `path` canonical, and raise AlteredFile if it does not hold what is listed, and nothing else.

    What files hold is not read. A file with several names is to be canonical already. Raises OSError too.
    """
    count = 0
    try:
        for place, status in trees.canonicalised(path):
            entry = listed.entries.get(place)
            if entry is None or not _is(status, entry, f"{path}/{place}"):
                raise altered(f"{path}/{place}")
            count += 1
    except OSError as error:
        if error.errno == errno.EMLINK:
            raise altered(os.fsdecode(error.filename)) from error
        raise
    if count != len(listed.entries):
        raise altered(path)


def altered(path: str) -> AlteredFile:
    """Return the error for a path that is not as it was made."""
    return AlteredFile(f"`{path}` is not as Esker has made it", hint="find out what changes the store, and try again")


def _is(status: os.stat_result, entry: Entry, path: str) -> bool:
    if stat.S_ISDIR(status.st_mode):
        return entry.kind == DIRECTORY
    if stat.S_ISLNK(status.st_mode):
        return entry.kind == LINK and os.readlink(path) == entry.value
    kind = PROGRAM if status.st_mode & stat.S_IXUSR else FILE
    return entry.kind == kind and entry.size == status.st_size
