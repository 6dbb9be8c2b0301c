"""Reading what a program of ours wrote down for the next one: a small file of JSON, which may have come from anybody.

A link is not followed, a pipe is not waited for, and a file that somebody else may have written is not believed.

On the path of every activation: nothing heavier than json is imported.
"""

from __future__ import annotations

import errno
import json
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

__all__ = ["load", "parse", "read"]

_LARGEST = 64 << 20
"""Bytes."""
_WRITABLE_BY_OTHERS = 0o022


def read(path: str, *, version: int | None = None, as_directory: bool = False) -> dict[str, Any] | None:
    """Return the object in a file of this user's; with `as_directory` one of the owner of its directory will do too.

    None means that the file says nothing to us: it is missing, another's, damaged or of another version.
    """
    try:
        owners = (os.stat(os.path.dirname(path)).st_uid,) if as_directory else ()
        record = load(path, owners=owners)
    except (OSError, ValueError):
        return None
    return record if version in {None, record.get("version")} else None


def load(path: str, *, owners: Collection[int] = ()) -> dict[str, Any]:
    """Return the object in a file of this user's, or of one of `owners`, and raise where `read` gives None.

    OSError is for a file that is missing or must not be believed, ValueError for a damaged one.
    """
    with open(path, "rb", opener=_opened) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        if status.st_uid != os.geteuid() and status.st_uid not in owners:
            raise OSError(errno.EINVAL, f"it belongs to uid {status.st_uid}", path)
        if status.st_mode & _WRITABLE_BY_OTHERS:
            raise OSError(errno.EINVAL, "others may write to it (chmod go-w)", path)
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(errno.EINVAL, f"it has more than {_LARGEST} bytes", path)
    record = parse(data)
    if record is None:
        raise ValueError(path)
    return record


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def parse(data: bytes) -> dict[str, Any] | None:
    """Return the object that `data` holds; None when it is damaged."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
