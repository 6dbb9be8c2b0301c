"""Whole directory trees: removing them, moving them, making them canonical, reading them as entries of an archive.

All functions raise OSError, so that the caller can wrap them in `files.refused` with a better message.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.formats.nix import nar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = [
    "archive_entries",
    "canonicalise",
    "canonicalised",
    "copy_tree",
    "digest",
    "files_below",
    "open_file",
    "remove_empty_directories",
    "remove_tree",
    "with_another_mode",
]

_CHUNK = 1 << 20
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 100
"""Levels of directories that are open at once: Python allows 1000 nested calls, and a process often 1024 files."""
_LONGEST_COPY = 1 << 30
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""The errors by which copy_file_range(2) says that it is not for these files."""
_FICLONE = 0x40049409
"""Linux's request that a file shares the blocks of another one until either is written to."""
_CANONICAL_TIME = (10**9, 10**9)  # one second after the epoch, as in a Nix store


def remove_tree(path: str, *, directory: int | None = None) -> int:
    """Remove `path` and everything below it, even in read-only directories, and return the bytes that this freed.

    `directory` is a descriptor of the directory that `path` lies in; without it, that directory is opened by its path.
    Files that disappear meanwhile are no error. No link is followed, not even one that somebody puts in the place of a
    directory while this runs.
    """
    if directory is not None:
        return _remove(path, directory)
    try:
        parent = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _remove(path, parent)
    finally:
        os.close(parent)


def _remove(path: str, parent: int, raised: _Raised | None = None) -> int:
    """Remove `path`, which lies in the open directory `parent`, and return the bytes that this freed.

    Only its name within `parent` is used, because somebody may replace a directory on the way to it. `raised` is the
    directory at the top of the tree, and None for that directory itself.
    """
    name = os.path.basename(path)
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
            return status.st_blocks * 512 if status.st_nlink == 1 else 0
        directory = _open_to_empty(name, parent)
        try:
            if raised is not None and raised.level == _DEEPEST:
                raised.take(name, parent)
                return 0
            freed = _empty(path, directory, raised or _Raised(directory))
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return 0
    except OSError as refusal:
        if refusal.filename != name:  # it comes from deeper in the tree, and already has the whole path
            raise
        raise OSError(refusal.errno, refusal.strerror, path) from None
    return freed + status.st_blocks * 512


def _empty(path: str, directory: int, raised: _Raised) -> int:
    """Remove everything in the open directory that lies at `path`, and return the bytes that this freed."""
    raised.level += 1
    freed = sum(_remove(f"{path}/{child}", directory, raised) for child in os.listdir(directory))
    raised.level -= 1
    while raised.level == 0 and raised.names:
        raised.level += 1
        freed += _remove(f"{path}/{raised.names.pop()}", directory, raised)
        raised.level -= 1
    return freed


class _Raised:
    """The directory at the top of a tree that is removed, to which directories from deep in the tree are moved.

    So a tree of any depth needs few open files, and no path that is too long.
    """

    def __init__(self, directory: int) -> None:
        self.level = 0
        """How many directories are open below the one that the tree lies in."""
        self.names: list[str] = []
        self._directory = directory

    def take(self, name: str, parent: int) -> None:
        """Move the directory `name` from the open directory `parent` to the top."""
        raised = f".{os.urandom(8).hex()}"
        os.rename(name, raised, src_dir_fd=parent, dst_dir_fd=self._directory)
        self.names.append(raised)


def _open_to_empty(name: str, parent: int) -> int:
    """Open the directory `name` in `parent`, and give its owner the rights that emptying it needs."""
    try:
        directory = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    except PermissionError:
        # This chmod would follow a link that somebody puts here meanwhile, but it can only change what is ours. Root,
        # who could change anything, never comes here, because root is never refused.
        os.chmod(name, stat.S_IRWXU, dir_fd=parent)
        directory = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    if ~os.fstat(directory).st_mode & stat.S_IRWXU:
        os.fchmod(directory, stat.S_IRWXU)
    return directory


def copy_tree(
    source: int,
    target: str,
    *,
    directory: int,
    level: int = 1,
    names: Collection[str] | None = None,
    without_sockets: bool = False,
) -> None:
    """Copy what lies in the open directory `source` to a new directory `target`, which lies in `directory`.

    Permissions and times are kept, and owners too if we are root. Links are copied as links, and none is followed, even
    if somebody puts one there meanwhile. Where the file system can, files share their blocks until one is changed. With
    `names` only what has these names in `source` is copied. Sockets and pipes are left out, or else refused.

    Raises OSError for a tree of too many levels; `level` is that of `source`.
    """
    if level > _DEEPEST:
        raise OSError(errno.EINVAL, f"directories more than {_DEEPEST} levels deep are not copied", target)
    os.mkdir(os.path.basename(target), 0o700, dir_fd=directory)
    copy = os.open(os.path.basename(target), _OPEN_DIRECTORY, dir_fd=directory)
    try:
        for name in os.listdir(source) if names is None else names:
            try:
                _copy(name, source, copy, f"{target}/{name}", level, without_sockets=without_sockets)
            except OSError as refusal:
                if refusal.filename is not None and refusal.filename != name:  # it comes from deeper in the tree
                    raise
                raise OSError(refusal.errno, refusal.strerror, f"{target}/{name}") from None
        _copy_status(source, copy)
    finally:
        os.close(copy)


def _copy(name: str, source: int, copy: int, path: str, level: int, *, without_sockets: bool) -> None:
    """Copy `name` from one open directory of this level to another, where it gets the path `path`."""
    status = os.lstat(name, dir_fd=source)
    if without_sockets and (stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
        return
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=copy)
        return
    # Non-blocking: there may be a pipe.
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    try:
        if stat.S_ISDIR(status.st_mode):
            copy_tree(descriptor, path, directory=copy, level=level + 1, without_sockets=without_sockets)
        elif stat.S_ISREG(os.fstat(descriptor).st_mode):
            _copy_file(descriptor, name, copy)
        else:
            raise OSError(errno.EINVAL, "it is not a regular file", name)
    finally:
        os.close(descriptor)


def _copy_file(source: int, name: str, above: int) -> None:
    target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=above)
    try:
        _copy_content(source, target)
        _copy_status(source, target)
    finally:
        os.close(target)


def _copy_content(source: int, target: int) -> None:
    """Copy a file in the cheapest way that the file systems offer: shared blocks, within the kernel, or by us."""
    if sys.platform == "linux":
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:  # most file systems cannot, and none can between two of them
            pass
        else:
            return
        try:
            while os.copy_file_range(source, target, _LONGEST_COPY):
                pass
        except OSError as refusal:
            if refusal.errno not in _CANNOT_COPY:
                raise
    while data := os.read(source, _CHUNK):  # what is left of it: all, or nothing
        while data:
            data = data[os.write(target, data) :]


def _copy_status(source: int, target: int) -> None:
    status = os.fstat(source)
    if os.geteuid() == 0:
        os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, status.st_mode & 0o777)  # never set-uid: what we copy may be another user's, and we root
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def files_below(path: str) -> Iterator[str]:
    """Yield the paths below `path` of everything in its tree that is no directory; the tree may have any depth."""
    for below, entry in _entries(path):
        if not entry.is_dir(follow_symlinks=False):
            yield f"{below}{entry.name}"


def remove_empty_directories(path: str) -> None:
    """Remove all directories below `path` that hold nothing, or nothing but such directories."""
    directories = [f"{path}/{below}{each.name}" for below, each in _entries(path) if each.is_dir(follow_symlinks=False)]
    for directory in reversed(directories):  # those within a directory come after it
        with suppress(OSError):  # it holds something
            os.rmdir(directory)


def _entries(path: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield everything in a tree, with the path of its directory: empty, or with a slash at its end."""
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(f"{path}/{below}") as children:
            for child in children:
                yield below, child
                if child.is_dir(follow_symlinks=False):
                    pending.append(f"{below}{child.name}/")


def canonicalise(path: str) -> None:
    """Give the tree at `path` the modes (0444, 0555) and times (1 s) of a store, so that equal trees stay equal.

    Raises OSError for what a store cannot hold: devices, sockets, pipes, and files with several hard links that are not
    canonical yet, because a change of mode would also reach the links outside of the tree.
    """
    for _ in canonicalised(path):
        pass


def canonicalised(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Do what `canonicalise` does, and yield what lies below `path`, with its status before that.

    The paths are relative to `path`. Raises OSError.
    """
    pending = [""]
    _canonicalise(path, os.lstat(path))
    while pending:
        below = pending.pop()
        with os.scandir(f"{path}/{below}") as children:
            for child in children:
                status = child.stat(follow_symlinks=False)
                _canonicalise(child.path, status)
                place = f"{below}{child.name}"
                yield place, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(f"{place}/")


def _canonicalise(path: str, status: os.stat_result) -> None:
    mode = _canonical_mode(path, status.st_mode)
    is_canonical = stat.S_IMODE(status.st_mode) == mode and status.st_mtime_ns == _CANONICAL_TIME[1]
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1 and not is_canonical:
        raise OSError(errno.EMLINK, "a file with several names cannot be stored", path)
    if stat.S_IMODE(status.st_mode) != mode:
        os.chmod(path, mode)
    if status.st_mtime_ns != _CANONICAL_TIME[1]:
        os.utime(path, ns=_CANONICAL_TIME, follow_symlinks=False)


def _canonical_mode(path: str, mode: int) -> int:
    if stat.S_ISREG(mode):
        return 0o555 if mode & stat.S_IXUSR else 0o444
    if stat.S_ISDIR(mode):
        return 0o555
    if stat.S_ISLNK(mode):
        return stat.S_IMODE(mode)
    raise OSError(errno.EINVAL, "only files, directories and links can be stored", path)


def with_another_mode(path: str) -> Iterator[str]:
    """Yield each path in the tree at `path` whose mode is not the one that `canonicalise` gives.

    Other users might be able to change such a file, or to abuse it (a set-user-ID program).
    """
    pending = [path]
    while pending:
        current = pending.pop()
        mode = os.lstat(current).st_mode
        if stat.S_IMODE(mode) != _canonical_mode(current, mode):
            yield current
        if stat.S_ISDIR(mode):
            with os.scandir(current) as children:
                pending += sorted((child.path for child in children), reverse=True)


def open_file(path: str) -> int:
    """Open a regular file for reading, and return the descriptor; raises OSError for a link and for anything else."""
    # Non-blocking: there may be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return descriptor


def archive_entries(path: str) -> Iterator[nar.Entry]:
    """Yield the archive entries of the tree at `path`, in the archive's order.

    The chunks of a large file are read as they are used, so use them before taking the next entry.
    """
    top = os.fsencode(path)
    pending: list[tuple[tuple[bytes, ...], bytes, int]] = [((), top, stat.S_IFMT(os.lstat(top).st_mode))]
    while pending:
        names, current, kind = pending.pop()
        if kind == stat.S_IFDIR:
            yield nar.Directory(names)
            with os.scandir(current) as listing:
                children = sorted(listing, key=_name, reverse=True)  # `pop` takes the last first
            pending += [((*names, child.name), child.path, _kind(child)) for child in children]
        elif kind == stat.S_IFLNK:
            yield nar.Symlink(names, os.readlink(current))
        elif kind == stat.S_IFREG:
            descriptor = os.open(current, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
                size = status.st_size
                chunks = [os.read(descriptor, size)] if size <= _CHUNK else _chunks(descriptor)
                yield nar.Regular(names, bool(status.st_mode & stat.S_IXUSR), size, chunks)
            finally:
                os.close(descriptor)
        else:
            raise OSError(errno.EINVAL, "only files, directories and links can be stored", os.fsdecode(current))


def _name(child: os.DirEntry[bytes]) -> bytes:
    return child.name


def _kind(child: os.DirEntry[bytes]) -> int:
    # The directory listing usually includes the type, so these calls cost no system call for each file.
    if child.is_symlink():
        return stat.S_IFLNK
    if child.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if child.is_file(follow_symlinks=False) else 0


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _CHUNK):
        yield chunk


def digest(pieces: Iterable[bytes]) -> tuple[bytes, int]:
    """Return the SHA-256 of `pieces` and their total size in bytes; a second thread hashes while `pieces` are made."""
    from hashlib import sha256
    from queue import Queue
    from threading import Thread

    total = sha256()
    queue: Queue[bytes] = Queue(maxsize=8)
    size = 0
    waiting: list[bytes] = []
    held = 0

    def update() -> None:
        while data := queue.get():
            total.update(data)

    thread = Thread(target=update, daemon=True)
    thread.start()
    try:
        for piece in pieces:
            waiting.append(piece)
            held += len(piece)
            if held >= _CHUNK:  # hashlib lets other threads run only while it hashes a long piece
                queue.put(b"".join(waiting))
                size += held
                waiting, held = [], 0
        if held:
            queue.put(b"".join(waiting))
    finally:
        queue.put(b"")
        thread.join()
    return total.digest(), size + held
