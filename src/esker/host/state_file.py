"""Reading the small JSON files that one Esker process leaves for the next, without trusting them.

Somebody else may have put a file there. So reading does not follow a link or wait for a pipe, and it rejects a file
that another user may have written.

Every activation needs this module, so nothing heavy is imported, not even `json`.
"""

from __future__ import annotations

import errno
import os
import stat

from esker.formats import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

__all__ = ["load", "parse", "read"]

_LARGEST = 16 << 20
"""Bytes."""
_WRITABLE_BY_OTHERS = 0o022


def read(path: str, *, version: int | None = None, as_directory: bool = False) -> dict[str, Any] | None:
    """Return the JSON object in a file that belongs to this user or, with `as_directory`, to its directory's owner.

    None means that the file is missing, damaged, not trusted, or not of this `version`.
    """
    try:
        owners = (os.stat(os.path.dirname(path)).st_uid,) if as_directory else ()
        record = load(path, owners=owners)
    except (OSError, ValueError):
        return None
    return record if version is None or record.get("version") == version else None


def load(path: str, *, owners: Collection[int] = (), directory: int | None = None) -> dict[str, Any]:
    """Return the JSON object in a file that belongs to this user or to one of `owners` (uids).

    With `directory`, the descriptor of a directory, `path` is relative to it. Raises OSError when the file is missing
    or must not be trusted, and ValueError when it is damaged.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)

    with open(path, "rb", opener=opener) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        if status.st_uid != os.geteuid() and status.st_uid not in owners:
            raise OSError(errno.EINVAL, f"it belongs to uid {status.st_uid}", path)
        if status.st_mode & _WRITABLE_BY_OTHERS:
            raise OSError(errno.EINVAL, "others may write to it (chmod go-w)", path)
        if status.st_size > _LARGEST:
            raise OSError(errno.EINVAL, f"it has more than {_LARGEST} bytes", path)
        data = file.read()
    record = parse(data)
    if record is None:
        raise ValueError(path)
    return record


def parse(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `data`, or None when `data` is not one."""
    try:
        record = json_text.parse(data.decode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
