"""The directories below a `.flox` that Esker writes into: closed to other users, and never reached through a link.

A project may come from anybody, and Esker works in it before it is trusted, or as root while the owner works in it too.
So each directory, from the root directory on, is opened relative to the one above it, without following links: nobody
who can change the project can divert us. What is written there goes through the open descriptor. What root creates in
another user's project is given to that user, also through its open descriptor.

Only `.flox` and `.flox/env` may be links, because people keep them elsewhere. But another user's link is followed only
to a directory of that user.
"""

from __future__ import annotations

import errno
import os
import stat

from esker.host import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import contextmanager
else:
    from esker.host.context import contextmanager

__all__ = ["GONE", "give", "give_file", "made_project", "opened", "opened_project", "opened_within", "writable"]

GONE = ".flox.gone-"
"""The beginning of the name that `.flox` gets while it is deleted."""
_O_PATH = getattr(os, "O_PATH", os.O_RDONLY)  # Linux; it needs no right to read the directory
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MAY_BE_LINKS = {".flox", "env"}
_ROOT = 0


@contextmanager
def writable(dot_flox: str, *names: str, mode: int = 0o700, remedy: str | None = None) -> Iterator[int]:
    """Yield a descriptor as `opened` does; raise HostError, with `remedy` in its hint, if there can be none."""
    with files.refused("make", "/".join((dot_flox, *names)), remedy=remedy):
        descriptor = _open_below(dot_flox, names, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened(dot_flox: str, *names: str, mode: int = 0o700) -> Iterator[int]:
    """Yield the descriptor of the directory `names` below `dot_flox`; missing directories are created with `mode`.

    `dot_flox` is absolute, with the links above it resolved. Raises OSError, with the path at fault, if one of the
    directories is a link or not a directory.
    """
    descriptor = _open_below(dot_flox, names, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_below(dot_flox: str, names: Iterable[str], mode: int) -> int:
    """Open the directory that `opened` yields; the caller closes it."""
    path, descriptor = dot_flox, _open_path(dot_flox)
    try:
        owner = os.fstat(descriptor)
        for name in names:
            path = f"{path}/{name}"
            is_new = _mkdir(path, mode, descriptor)
            above, descriptor = descriptor, _step(path, descriptor)
            os.close(above)
            if is_new:
                give(descriptor, owner)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def opened_project(project: str) -> Iterator[int]:
    """Yield the descriptor of a project (absolute, links resolved); raise OSError if its path has a link by now."""
    descriptor = _open_path(project)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def made_project(project: str, *, mode: int) -> Iterator[int]:
    """Yield a descriptor as `opened_project` does; missing directories on the way are created with `mode`.

    What root creates below another user's directory is given to that user.
    """
    descriptor = _open_path(project, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_within(above: int, path: str) -> Iterator[int]:
    """Yield the descriptor of the existing directory `path`, which lies in the open directory `above`."""
    descriptor = _step(path, above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_path(path: str, mode: int | None = None) -> int:
    """Open a directory, and each directory above it in its turn; with a `mode`, create those that are missing."""
    path = os.path.abspath(path)
    descriptor, part = os.open("/", _O_PATH | _DIRECTORY), ""
    for name in path.split("/")[1:]:
        part = f"{part}/{name}"
        above, flags = descriptor, _DIRECTORY if part == path else _O_PATH | _DIRECTORY
        try:
            try:
                descriptor = _step(part, above, flags)
            except FileNotFoundError:
                if mode is None:
                    raise
                descriptor = _made_step(part, mode, above, flags)
        finally:
            os.close(above)
    return descriptor


def _made_step(path: str, mode: int, above: int, flags: int) -> int:
    """Create the directory `path` in the open directory `above`, give it to the owner of that, and open it."""
    is_new = _mkdir(path, mode, above)
    if is_new:
        descriptor = _step(path, above)  # without O_PATH, by which nothing can be given away
        try:
            give(descriptor, os.fstat(above))
        finally:
            os.close(descriptor)
    return _step(path, above, flags)


def give(descriptor: int, owner: os.stat_result) -> None:
    """Give an open file or directory that root has created to the owner of the project."""
    status = os.fstat(descriptor)
    # A file with a second hard link may be one of root's own from elsewhere, so it stays root's.
    single = stat.S_ISDIR(status.st_mode) or status.st_nlink == 1
    if os.geteuid() == 0 and owner.st_uid and status.st_uid == 0 and single:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def give_file(name: str, directory: int, owner: os.stat_result | None = None) -> None:
    """Give a file in an open directory to the owner of the project, by default that of the directory.

    Raises OSError for a link too: what it leads to may lie outside of the project.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        give(descriptor, owner or os.fstat(directory))
    finally:
        os.close(descriptor)


def _mkdir(path: str, mode: int, above: int) -> bool:
    try:
        os.mkdir(os.path.basename(path), mode, dir_fd=above)
    except FileExistsError:
        return False
    except OSError as refusal:
        raise OSError(refusal.errno, refusal.strerror, path) from None
    return True


def _step(path: str, above: int, flags: int = _DIRECTORY) -> int:
    """Open the directory `path`, which lies in the open directory `above`."""
    name = os.path.basename(path)
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=above)
    except OSError as refusal:
        is_link = refusal.errno in {errno.ELOOP, errno.ENOTDIR}
        if is_link and name in _MAY_BE_LINKS:
            return _behind_link(path, above)
        reason = "it is a link, or not a directory" if is_link else refusal.strerror
        raise OSError(refusal.errno, reason, path) from None


def _behind_link(path: str, above: int) -> int:
    """Open the directory that the link `path` leads to, if its owner could write there without us."""
    name = os.path.basename(path)
    try:
        if _O_PATH == os.O_RDONLY:  # another system than Linux, where a link cannot be opened
            owner, target = os.lstat(name, dir_fd=above).st_uid, os.readlink(name, dir_fd=above)
        else:  # owner and target of one link, even if it is exchanged meanwhile
            link = os.open(name, _O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            try:
                owner, target = os.fstat(link).st_uid, os.readlink("", dir_fd=link)
            finally:
                os.close(link)
        descriptor = os.open(target, _DIRECTORY, dir_fd=above)
    except OSError as refusal:
        raise OSError(refusal.errno, "it is a link, or not a directory", path) from None
    if owner not in {os.geteuid(), _ROOT, os.fstat(descriptor).st_uid}:
        os.close(descriptor)
        raise OSError(errno.EPERM, f"it is a link of uid {owner} to a directory of somebody else", path)
    return descriptor
