"""The directories below a `.flox` that Esker writes into: closed to others, and never somewhere else behind a link.

A project may be anybody's work, and is looked at before it is trusted. Each step is taken from the directory before it
and follows no link, so that nobody who may change the project can lead it away; what root makes in another user's
project is given to that user, through the descriptor of what was made.
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
    """Return the path of a directory below `dot_flox`, made as `opened` does."""
    with opened(dot_flox, *names, mode=mode):
        return "/".join((dot_flox, *names))


@contextmanager
def opened(dot_flox: str, *names: str, mode: int = 0o700) -> Iterator[int]:
    """Give the descriptor of a directory below `dot_flox`, made with `mode` where it is missing.

    Raises OSError, with the path at fault, where a part of it is a link or no directory.
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
    """Give what root has made, and has open, to the owner of the project; a file with a second name stays root's."""
    found = os.fstat(descriptor)
    single = stat.S_ISDIR(found.st_mode) or found.st_nlink == 1
    if os.geteuid() == 0 and owner.st_uid and found.st_uid == 0 and single:
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
        reason = "a link, or no directory, is in its place" if is_link else refusal.strerror
        raise OSError(refusal.errno, reason, path) from None
