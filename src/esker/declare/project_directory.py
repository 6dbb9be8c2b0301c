"""The directories below a `.flox` that Esker writes into: closed to other users, and never reached through a link.

A project may come from anybody, and Esker works in it before it is trusted. So each directory is opened relative to the
one above it, without following links: nobody who can change the project can divert us. What root creates in another
user's project is given to that user, through its open descriptor.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["give", "made", "opened"]

_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def made(dot_flox: str, *names: str, mode: int = 0o700) -> str:
    """Create a directory below `dot_flox` as `opened` does, and return its path."""
    with opened(dot_flox, *names, mode=mode):
        return "/".join((dot_flox, *names))


@contextmanager
def opened(dot_flox: str, *names: str, mode: int = 0o700) -> Iterator[int]:
    """Yield the descriptor of the directory `names` below `dot_flox`; missing directories are created with `mode`.

    Raises OSError, with the path at fault, if one of them is a link or not a directory.
    """
    path, descriptor = dot_flox, os.open(dot_flox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = os.fstat(descriptor)
        for name in names:
            path = f"{path}/{name}"
            is_new = _mkdir(path, mode, descriptor)
            above, descriptor = descriptor, _step(path, descriptor)
            os.close(above)
            if is_new:
                give(descriptor, owner)
        yield descriptor
    finally:
        os.close(descriptor)


def give(descriptor: int, owner: os.stat_result) -> None:
    """Give an open file or directory that root has created to the owner of the project."""
    status = os.fstat(descriptor)
    # A file with a second hard link may be one of root's own from elsewhere, so it stays root's.
    single = stat.S_ISDIR(status.st_mode) or status.st_nlink == 1
    if os.geteuid() == 0 and owner.st_uid and status.st_uid == 0 and single:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _mkdir(path: str, mode: int, above: int) -> bool:
    try:
        os.mkdir(os.path.basename(path), mode, dir_fd=above)
    except FileExistsError:
        return False
    except OSError as refusal:
        raise OSError(refusal.errno, refusal.strerror, path) from None
    return True


def _step(path: str, above: int) -> int:
    try:
        return os.open(os.path.basename(path), _STEP, dir_fd=above)
    except OSError as refusal:
        is_link = refusal.errno in {errno.ELOOP, errno.ENOTDIR}
        reason = "it is a link, or not a directory" if is_link else refusal.strerror
        raise OSError(refusal.errno, reason, path) from None
