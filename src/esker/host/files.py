"""Files as the machine keeps them: durable writes, locks, and whole trees.

Functions that take `error` wrap what the machine refuses; the others raise OSError, for a caller that knows more to
wrap in `refused`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.errors import EskerError, HostError, Problem
from esker.formats.nix import nar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from esker.errors import InvalidFile

__all__ = [
    "canonicalise",
    "digest",
    "entries",
    "free_space",
    "is_ours",
    "locked",
    "make_directory",
    "move_tree_over",
    "read",
    "read_text",
    "refused",
    "remove_tree",
    "replace_link",
    "sync_file_system",
    "with_another_mode",
    "write",
    "write_changed",
]

_CHUNK = 1 << 20
_LARGEST = 64 << 20
_CANONICAL_TIME = (10**9, 10**9)  # one second after the epoch, as in a Nix store


@contextmanager
def refused(
    action: str, path: str, error: type[EskerError] = HostError, *, remedy: str | None = None
) -> Iterator[None]:
    """Raise `error` when the machine refuses to `action` `path`, with what to do; `remedy` is added to that."""
    try:
        yield
    except OSError as caught:
        reason = (caught.strerror or str(caught)).lower()
        if caught.errno in {errno.ENOSPC, errno.EDQUOT}:
            reason += f", {free_space(path) / 1e6:.1f} MB are free"
        place = caught.filename and os.fsdecode(caught.filename)
        if place and place != path:
            reason += f" (`{place}`)"
        hint = _hint(caught.errno, place or path)
        if hint and remedy:
            hint = f"{hint}; {remedy}"
        raise error(f"cannot {action} `{path}`: {reason}", hint=hint) from caught


_ROOM = "make room on that disk"
_HINTS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`)",
    errno.EROFS: "that file system is mounted read-only: mount it writable, or work elsewhere",
    errno.ENOLCK: "that file system gives no locks: start its lock service, or work on another one",
    errno.ENAMETOOLONG: "choose a shorter path: the system takes 4095 bytes, and 255 for each name in it",
}


def _hint(number: int | None, path: str) -> str | None:
    if number in {errno.EACCES, errno.EPERM}:
        place = _existing(path)
        found = os.lstat(place)
        said = f"`{place}` belongs to uid {found.st_uid}, and this process runs as uid {os.geteuid()}"
        closed = found.st_uid == os.geteuid() and not _serves_its_owner(found.st_mode)
        return f"{said}; its mode is {stat.S_IMODE(found.st_mode):04o}: chmod u+rwX {place}" if closed else said
    if number in {errno.ENOENT, errno.ELOOP} and os.path.islink(path):
        return f"`{path}` is a link to `{os.readlink(path)}`: put the file itself there"
    return None if number is None else _HINTS.get(number)


def _serves_its_owner(mode: int) -> bool:
    needed = stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR | stat.S_IWUSR
    return mode & needed == needed


def free_space(path: str) -> int:
    """Return the bytes that this process may still write on the file system where `path` lies or would lie."""
    found = os.statvfs(_existing(path))
    return found.f_bavail * found.f_frsize


def _existing(path: str) -> str:
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def read(path: str, *, limit: int = _LARGEST) -> bytes:
    """Return what a file holds; raises HostError for what is none, a pipe or a device, and above `limit` bytes."""
    with refused("read", path):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise HostError(f"cannot read `{path}`: it is not a regular file", hint="put a plain file in its place")
        # Not to wait for ever, should it have become a pipe by now.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            content = file.read(limit + 1)
    if len(content) > limit:
        raise HostError(
            f"cannot read `{path}`: it has more than {limit >> 20} MiB", hint="put back the file that belongs there"
        )
    return content


def read_text(path: str, invalid: type[InvalidFile], *, limit: int = _LARGEST) -> str:
    """Return the text in a file; raises `invalid` when it is not UTF-8, and HostError as `read` does."""
    content = read(path, limit=limit)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise invalid(path, [Problem("the file is not UTF-8", line=line, hint="save it as UTF-8")]) from None


def write(path: str, data: bytes, *, mode: int = 0o600, error: type[EskerError] = HostError) -> None:
    """Replace the file at `path` by rename: a reader sees the old contents or the new, after a power cut too."""
    with refused("write", path, error), _beside(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(descriptor)
        os.rename(temporary, path)


def write_changed(path: str, data: bytes, *, mode: int = 0o600, error: type[EskerError] = HostError) -> bool:
    """Write as `write` does unless the file holds `data` already; return whether it was written."""
    with refused("read", path, error), suppress(FileNotFoundError), open(path, "rb") as file:
        if file.read(len(data) + 1) == data:
            return False
    write(path, data, mode=mode, error=error)
    return True


def is_ours(directory: str) -> bool:
    """Return whether a directory, or the nearest one above it that is there, belongs to this user."""
    return os.stat(_existing(directory)).st_uid == os.geteuid()


def make_directory(path: str, *, mode: int = 0o700) -> None:
    """Make `path` with `mode`, and what is missing above it closed to the writing of others, whatever the umask.

    Raises OSError where something else is in the place of one.
    """
    above = os.path.dirname(path)
    if above != path and not os.path.exists(above):
        make_directory(above, mode=0o755)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def replace_link(path: str, target: str, *, error: type[EskerError] = HostError) -> None:
    """Make `path` a symbolic link to `target` by rename: there is no moment without a link."""
    with refused("link", path, error), _beside(path) as temporary:
        os.symlink(target, temporary)
        os.rename(temporary, path)


@contextmanager
def _beside(path: str) -> Iterator[str]:
    """A new name in the directory of `path`; what has it after an error is removed."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name[:40]}.{os.urandom(6).hex()}.tmp")
    try:
        yield temporary
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextmanager
def locked(
    path: str,
    *,
    shared: bool = False,
    waiting: Callable[[], object] | None = None,
    error: type[EskerError] = HostError,
    remedy: str | None = None,
) -> Iterator[None]:
    """Hold a lock on the file `path`, which is made 0600; `waiting` is called first when somebody else holds it.

    The lock is flock's: it ends with the process however that ends, and a program that the process starts does not
    inherit it. Two locks in one process exclude each other too.
    """
    access = os.O_RDONLY if shared else os.O_RDWR  # as NFS wants it, where the lock is one of fcntl
    with refused("lock", path, error, remedy=remedy):
        descriptor = os.open(path, access | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        with refused("lock", path, error, remedy=remedy):
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


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


def sync_file_system(path: str) -> None:
    """Wait until all that was written to the file system of `path` would survive a power cut."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if library.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)
