"""Whole trees of files: removed, moved, made canonical, and read as the entries of an archive.

Functions raise OSError, for a caller that knows more to wrap in `files.refused`.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from esker.formats.nix import nar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["canonicalise", "digest", "entries", "move_tree_over", "remove_tree", "with_another_mode"]

_CHUNK = 1 << 20
_CANONICAL_TIME = (10**9, 10**9)  # one second after the epoch, as in a Nix store


def remove_tree(path: str) -> int:
    """Remove `path` and all below it, read-only directories too, and return the bytes that this freed.

    What disappears meanwhile is no error; no link is followed, nor one that somebody puts in the place of a directory.
    """
    try:
        above = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _removed(path, above)
    finally:
        os.close(above)


def _removed(path: str, above: int) -> int:
    name = os.path.basename(path)
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=above)
            return found.st_blocks * 512 if found.st_nlink == 1 else 0
        directory = _opened_to_empty(name, above)
        try:
            freed = sum(_removed(f"{path}/{child}", directory) for child in os.listdir(directory))
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=above)
    except FileNotFoundError:
        return 0
    except OSError as refusal:
        if refusal.filename != name:
            raise
        raise OSError(refusal.errno, refusal.strerror, path) from None
    return freed + found.st_blocks * 512


def _opened_to_empty(name: str, above: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directory = os.open(name, flags, dir_fd=above)
    except PermissionError:  # our own, and closed to ourselves: root, whom a link could lead away, is never refused
        os.chmod(name, stat.S_IRWXU, dir_fd=above)
        directory = os.open(name, flags, dir_fd=above)
    if ~os.fstat(directory).st_mode & stat.S_IRWXU:
        os.fchmod(directory, stat.S_IRWXU)
    return directory


def move_tree_over(path: str, target: str) -> None:
    """Move every file and link below `path` to the same place below `target`, over what is there."""
    with os.scandir(path) as children:
        for child in children:
            place = os.path.join(target, child.name)
            if child.is_dir(follow_symlinks=False):
                os.makedirs(place, exist_ok=True)
                move_tree_over(child.path, place)
            else:
                os.replace(child.path, place)


def canonicalise(path: str) -> None:
    """Give the tree at `path` the modes (0444, 0555) and times (1 s) of a store, so that equal trees stay equal.

    Raises OSError for what a store cannot hold: devices, sockets, pipes, and a second name of a file, whose mode
    would change wherever its other names are.
    """
    pending = [os.fsencode(path)]
    _canonicalise(pending[0], os.lstat(path))
    while pending:
        with os.scandir(pending.pop()) as children:
            for child in children:
                found = child.stat(follow_symlinks=False)
                _canonicalise(child.path, found)
                if stat.S_ISDIR(found.st_mode):
                    pending.append(child.path)


def _canonicalise(path: bytes, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise OSError(errno.EMLINK, "a file with several names cannot be stored", os.fsdecode(path))
    wanted = _canonical_mode(path, found.st_mode)
    if stat.S_IMODE(found.st_mode) != wanted:
        os.chmod(path, wanted)
    if found.st_mtime_ns != _CANONICAL_TIME[1]:
        os.utime(path, ns=_CANONICAL_TIME, follow_symlinks=False)


def _canonical_mode(path: bytes, mode: int) -> int:
    if stat.S_ISREG(mode):
        return 0o555 if mode & stat.S_IXUSR else 0o444
    if stat.S_ISDIR(mode):
        return 0o555
    if stat.S_ISLNK(mode):
        return stat.S_IMODE(mode)
    raise OSError(errno.EINVAL, "only files, directories and links can be stored", os.fsdecode(path))


def with_another_mode(path: str) -> Iterator[str]:
    """Yield what in the tree at `path` has not the mode that `canonicalise` gives: others might change or abuse it."""
    top = os.fsencode(path)
    pending = [top]
    while pending:
        place = pending.pop()
        mode = os.lstat(place).st_mode
        if stat.S_IMODE(mode) != _canonical_mode(place, mode):
            yield os.fsdecode(place)
        if stat.S_ISDIR(mode):
            with os.scandir(place) as children:
                pending += sorted((child.path for child in children), reverse=True)


def entries(path: str) -> Iterator[nar.Entry]:
    """Yield what the archive of the tree at `path` holds; a large file is open until the next entry is taken."""
    top = os.fsencode(path)
    pending: list[tuple[tuple[bytes, ...], bytes, int]] = [((), top, stat.S_IFMT(os.lstat(top).st_mode))]
    while pending:
        names, place, kind = pending.pop()
        if kind == stat.S_IFDIR:
            yield nar.Directory(names)
            with os.scandir(place) as found:
                children = sorted(found, key=_name, reverse=True)
            pending += [((*names, child.name), child.path, _kind(child)) for child in children]
        elif kind == stat.S_IFLNK:
            yield nar.Symlink(names, os.readlink(place))
        elif kind == stat.S_IFREG:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
                size = status.st_size
                chunks = [os.read(descriptor, size)] if size <= _CHUNK else _chunks(descriptor)
                yield nar.Regular(names, bool(status.st_mode & stat.S_IXUSR), size, chunks)
            finally:
                os.close(descriptor)
        else:
            raise OSError(errno.EINVAL, "only files, directories and links can be stored", os.fsdecode(place))


def _name(child: os.DirEntry[bytes]) -> bytes:
    return child.name


def _kind(child: os.DirEntry[bytes]) -> int:
    # The directory itself usually knows the type, so that nothing is asked of the file.
    if child.is_symlink():
        return stat.S_IFLNK
    if child.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if child.is_file(follow_symlinks=False) else 0


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _CHUNK):
        yield chunk


def digest(pieces: Iterable[bytes]) -> tuple[bytes, int]:
    """Return the SHA-256 of `pieces` and their size; a second thread hashes while `pieces` are made."""
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
            if held >= _CHUNK:  # hashlib lets the other thread run only during long pieces
                queue.put(b"".join(waiting))
                size += held
                waiting, held = [], 0
        if held:
            queue.put(b"".join(waiting))
    finally:
        queue.put(b"")
        thread.join()
    return total.digest(), size + held
