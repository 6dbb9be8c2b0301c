"""What a person can do about an error of the system: one table for all that writes, opens or starts something."""

from __future__ import annotations

import errno

__all__ = ["is_full", "reason", "remedy"]

_ROOM = "make room on that disk"
_FILES = "raise the limit on open files (`ulimit -n`)"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`)",
    errno.EROFS: "that file system is mounted read-only: mount it writable, or work elsewhere",
    errno.ENOLCK: "that file system does not support locks: start its lock service, or work on another file system",
    errno.ENAMETOOLONG: "choose a shorter path: the system takes 4095 bytes, and 255 for each name in it",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: "end programs that are not needed, or raise the limit on them (`ulimit -u`)",
    errno.ENOMEM: "end programs that are not needed, or raise the limit on memory (`ulimit -v`)",
    errno.EIO: "see the system's log: the disk may be failing",
}


def is_full(error: OSError) -> bool:
    """Return whether there is no room for what was to be written: no bytes, no files, or no more for this user."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def reason(error: OSError) -> str:
    """Return what went wrong, in words that can follow a colon."""
    return "the disk is full" if is_full(error) else (error.strerror or str(error)).lower()


def remedy(number: int | None) -> str | None:
    """Return what to do about an error of this errno, or None if that depends on the place."""
    return None if number is None else _REMEDIES.get(number)
