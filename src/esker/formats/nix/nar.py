"""Nix archives (NAR): a file tree as one stream of bytes, which does not depend on where the tree lies.

A string is its length (64 bits, little-endian), its bytes, and zeros up to a multiple of 8. A node is `( type regular
[executable ""] contents X )`, `( type symlink target X )` or `( type directory { entry ( name N node NODE ) } )`. Every
word and every bracket in these is a string. The archive is the string `nix-archive-1` followed by the root node. The
names in a directory ascend strictly by their bytes. Owner, times and all mode bits except the owner's x are left out.
Specification: the Nix manual, "Nix Archive (NAR) format"
(https://nix.dev/manual/nix/latest/protocols/nix-archive).

This module writes archives alone. It takes one as a flat sequence of entries, parents before their children. It refuses
paths that would leave the tree: names that are empty, `.` or `..`, or contain `/` or NUL. It also refuses what would
give one tree two archives: names out of order.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Directory", "Entry", "Regular", "Symlink", "dump"]


class Directory(NamedTuple):
    """A directory; the entries below it follow."""

    path: tuple[bytes, ...]
    """The names from the root down; the path of the root itself is empty."""


class Regular(NamedTuple):
    """A regular file."""

    path: tuple[bytes, ...]
    executable: bool
    size: int
    """The total number of bytes in `chunks`."""
    chunks: Iterable[bytes]
    """The contents."""


class Symlink(NamedTuple):
    """A symbolic link."""

    path: tuple[bytes, ...]
    target: bytes


Entry = Directory | Regular | Symlink

_LENGTH = Struct("<Q")
_NAME_LIMIT = 255
_TARGET_LIMIT = 4095


def _string(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data + bytes(-len(data) % 8)


def _strings(*words: bytes) -> bytes:
    return b"".join(map(_string, words))


_OPEN = _strings(b"(", b"type")
_START = _string(b"nix-archive-1") + _OPEN
_ENTRY = _strings(b"entry", b"(", b"name")
_NODE = _string(b"node") + _OPEN
_CLOSE = _string(b")")
_CLOSE_ENTRY = _CLOSE + _CLOSE
_DIRECTORY = _string(b"directory")
_SYMLINK = _strings(b"symlink", b"target")
_REGULAR = _strings(b"regular", b"contents")
_EXECUTABLE = _strings(b"regular", b"executable", b"", b"contents")


def dump(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the archive of `entries`, in pieces of any size; raise Malformed if they are no tree."""
    pending = _START
    last: list[bytes] | None = None  # the latest name in each open directory, from the root down; None before the root
    for entry in entries:
        if last is None:
            if entry.path:
                raise Malformed(f"the first entry of an archive must be its root, not `{_shown(entry.path)}`")
            last, close = [], _CLOSE
        else:
            pending += _descend(last, entry.path)
            close = _CLOSE_ENTRY
        if isinstance(entry, Directory):
            last.append(b"")
            pending += _DIRECTORY
        elif isinstance(entry, Symlink):
            pending += _SYMLINK + _string(_checked_target(entry.target)) + close
        else:
            yield pending + (_EXECUTABLE if entry.executable else _REGULAR) + _LENGTH.pack(entry.size)
            length = 0
            for chunk in entry.chunks:
                length += len(chunk)
                yield chunk
            if length != entry.size:
                raise Malformed(f"`{_shown(entry.path)}` has {length} bytes, but {entry.size} were announced")
            pending = bytes(-length % 8) + close
    if last is None:
        raise Malformed("an archive must have at least a root")
    yield pending + _CLOSE_ENTRY * (len(last) - 1) + (_CLOSE if last else b"")


def _descend(last: list[bytes], path: tuple[bytes, ...]) -> bytes:
    """Update `last` for the next entry, at `path`, and return the words that lead to it in the archive.

    Raises Malformed if an archive may not have this path, or not at this place.
    """
    depth = len(path)
    if not 0 < depth <= len(last) or path[:-1] != tuple(last[: depth - 1]):
        raise Malformed(f"`{_shown(path)}` does not follow its directory in the archive")
    name = path[-1]
    if name in {b"", b".", b".."} or b"/" in name or b"\0" in name or len(name) > _NAME_LIMIT:
        raise Malformed(f"`{_shown(path)}` is not a name that an archive may hold")
    if name <= last[depth - 1]:
        raise Malformed(f"`{_shown(path)}` is out of order in the archive")
    closing = _CLOSE_ENTRY * (len(last) - depth)
    del last[depth:]
    last[-1] = name
    return closing + _ENTRY + _string(name) + _NODE


def _checked_target(target: bytes) -> bytes:
    if not target or b"\0" in target or len(target) > _TARGET_LIMIT:
        raise Malformed(f"`{_shown((target,))}` cannot be the target of a symbolic link")
    return target


def _shown(path: tuple[bytes, ...]) -> str:
    text = b"/".join(path).decode("utf-8", "backslashreplace")
    return "".join(letter for letter in text if letter.isprintable())[:200]
