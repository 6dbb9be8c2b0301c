"""Files on disk: durable writes, links, locks and directories.

Functions with an `error` parameter turn an OSError into that error. The others raise OSError, so that the caller can
wrap them in `refused` with a better message.

Functions with a `directory` parameter take a descriptor of the directory that `path` lies in. They then use only that
directory and the name in `path`, so nobody can lead them elsewhere by exchanging a directory on the way.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from esker.errors import EskerError, HostError, Problem
from esker.formats.limits import LARGEST
from esker.host.causes import remedy as remedy_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import contextmanager, suppress

    from esker.errors import InvalidFile
else:
    from esker.host.context import contextmanager, suppress

__all__ = [
    "belongs_to_us",
    "check_writable",
    "clear_link",
    "clear_temporary",
    "decoded",
    "exchange",
    "free_space",
    "holds",
    "locked",
    "make_directory",
    "plain",
    "read",
    "read_text",
    "refused",
    "replace_link",
    "staged",
    "sync_file_system",
    "write",
    "write_changed",
]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NAME = 40
"""Characters of a file's name that the temporary file beside it keeps."""


@contextmanager
def refused(
    action: str, path: str, error: type[EskerError] = HostError, *, remedy: str | None = None
) -> Iterator[None]:
    """Turn an OSError of the block into `error`: "cannot `action` `path`", with a hint, to which `remedy` is added."""
    try:
        yield
    except OSError as caught:
        reason = (caught.strerror or str(caught)).lower()
        if caught.errno in {errno.ENOSPC, errno.EDQUOT}:
            reason += f", {free_space(path) / 1e6:.1f} MB are free"
        culprit = caught.filename and os.fsdecode(caught.filename)
        if culprit and "/" not in culprit:  # a name in an open directory
            culprit = os.path.join(os.path.dirname(path), culprit)
        if culprit and culprit != path:
            reason += f" (`{culprit}`)"
        hint = _hint(caught.errno, culprit or path)
        if hint and remedy:
            hint = f"{hint}; {remedy}"
        raise error(f"cannot {action} `{path}`: {reason}", hint=hint) from caught


def _hint(number: int | None, path: str) -> str | None:
    if number in {errno.EACCES, errno.EPERM}:
        existing = _existing(path)
        status = os.lstat(existing)
        if status.st_uid == os.geteuid() and not _serves_its_owner(status.st_mode):
            import shlex

            mend = f"chmod u+rwX {shlex.quote(existing)}"
            return f"`{existing}` is yours, and its mode is {stat.S_IMODE(status.st_mode):04o}: {mend}"
        return f"`{existing}` belongs to uid {status.st_uid}, and this process runs as uid {os.geteuid()}"
    if number in {errno.ENOENT, errno.ELOOP} and os.path.islink(path):
        return f"`{path}` is a link to `{os.readlink(path)}`: put the file itself there"
    return remedy_for(number)


def _serves_its_owner(mode: int) -> bool:
    needed = stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR | stat.S_IWUSR
    return mode & needed == needed


def free_space(path: str) -> int:
    """Return how many bytes this process may still write to the file system of `path`, which need not exist."""
    status = os.statvfs(_existing(path))
    return status.f_bavail * status.f_frsize


def _existing(path: str) -> str:
    """Return `path`, or the nearest directory above it that exists."""
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def check_writable(directory: str) -> None:
    """Raise OSError if this process may not write in `directory`, or where that is missing, in what would hold it."""
    existing = _existing(directory)
    if not os.access(existing, os.W_OK | os.X_OK):
        read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number), existing)


def read(path: str, *, limit: int = LARGEST, error: type[EskerError] = HostError, remedy: str | None = None) -> bytes:
    """Return the content of a file; raises `error` if it is no regular file or has more than `limit` bytes.

    `remedy` says what to do about such a file, by default to put back what belongs there.
    """
    with refused("read", path, error):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise error(f"cannot read `{path}`: it is a directory", hint=remedy or "give the path of a file")
        if not stat.S_ISREG(mode):
            hint = remedy or "put a plain file in its place"
            raise error(f"cannot read `{path}`: it is not a regular file", hint=hint)
        # Non-blocking: if somebody has replaced the file with a pipe by now, opening must not wait for ever.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            content = file.read(limit + 1)
    if len(content) > limit:
        hint = remedy or "put back the file that belongs there"
        raise error(f"cannot read `{path}`: it has more than {limit >> 10:,} KiB", hint=hint)
    return content


def plain(path: str, flags: int) -> int:
    """Open a file for `open`, whose `opener` this is; raises OSError for a pipe or device, which is not waited for."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a regular file", path)


def read_text(path: str, invalid: type[InvalidFile], *, limit: int = LARGEST) -> str:
    """Return the text of a file; raises `invalid` when it is not UTF-8, and HostError as `read` does."""
    return decoded(read(path, limit=limit), path, invalid)


def decoded(content: bytes, path: str, invalid: type[InvalidFile]) -> str:
    """Return the text that a file has as its content; raises `invalid` when it is not UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise invalid(path, [Problem("the file is not UTF-8", line=line, hint="save it as UTF-8")]) from None


def write(
    path: str, data: bytes, *, mode: int = 0o600, directory: int | None = None, error: type[EskerError] = HostError
) -> None:
    """Replace the file at `path` by rename: readers see the old content or the new, even after a power cut."""
    with staged(path, data, mode=mode, directory=directory, error=error):
        pass


@contextmanager
def staged(
    path: str,
    data: bytes,
    *,
    mode: int = 0o600,
    directory: int | None = None,
    flush: bool = True,
    error: type[EskerError] = HostError,
    like: os.stat_result | None = None,
) -> Iterator[None]:
    """Write `data` beside the file at `path`, and rename it there after the block, unless the block fails.

    Without `flush`, the block has to flush it to disk, as one does for many files at once. With the status of another
    file in `like`, the new one has its mode, and from root its owner too.
    """
    place = _within(path, directory)
    with refused("write", path, error):
        temporary, descriptor = _beside(place, mode, directory)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            with refused("write", path, error):
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                if like is not None:
                    _liken(descriptor, like)
                if flush:
                    os.fsync(descriptor)
            yield
            with refused("write", path, error):
                os.rename(temporary, place, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _liken(descriptor: int, like: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))


def _within(path: str, directory: int | None) -> str:
    """Return what names `path` for a call with `dir_fd=directory`."""
    return path if directory is None else os.path.basename(path)


def exchange(first: str, second: str, *, directory: int | None = None) -> bool:
    """Exchange two files or directories in one step; return False where the system or the file system cannot.

    With a `directory`, both lie there.
    """
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):  # Linux
        return False
    above = _AT_FDCWD if directory is None else directory
    names = (os.fsencode(_within(path, directory)) for path in (first, second))
    if library.renameat2(above, next(names), above, next(names), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        if number in {errno.EINVAL, errno.ENOSYS}:
            return False
        raise OSError(number, os.strerror(number), first, None, second)
    return True


def _beside(path: str, mode: int, above: int | None) -> tuple[str, int]:
    """Open an empty file beside `path`, relative to `above`; return its path and its descriptor, which holds a flock.

    Its name is always the same, so that the next write takes over what a killed one has left. While another process
    writes there, or where something else has that name, it is an unused name.
    """
    directory, name = os.path.split(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    usual = _usual_beside(path)
    with suppress(OSError):
        descriptor = os.open(usual, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode, dir_fd=above)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            is_ours = status.st_uid == os.geteuid() and status.st_nlink == 1 and stat.S_ISREG(status.st_mode)
            if is_ours and os.path.samestat(status, os.lstat(usual, dir_fd=above)):
                if stat.S_IMODE(status.st_mode) & ~mode:
                    os.fchmod(descriptor, mode)
                os.ftruncate(descriptor, 0)
                return usual, descriptor
        except OSError:
            pass
        os.close(descriptor)
    unused = os.path.join(directory, f".{name[:_NAME]}.{os.urandom(6).hex()}.tmp")
    return unused, os.open(unused, flags | os.O_EXCL, mode, dir_fd=above)


def _usual_beside(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name[:_NAME]}.tmp")


def clear_temporary(path: str) -> None:
    """Remove the file that a process which was killed in `write` has left beside `path`.

    The next write to `path` takes that file over, so this is only for paths that nobody writes again.
    """
    with suppress(OSError):
        os.unlink(_usual_beside(path))


def write_changed(path: str, data: bytes, *, mode: int = 0o600, directory: int | None = None) -> bool:
    """Write as `write` does, unless the file already holds `data`; return whether it was written."""
    if holds(path, data, directory=directory):
        return False
    write(path, data, mode=mode, directory=directory)
    return True


def holds(path: str, data: bytes, *, directory: int | None = None) -> bool:
    """Return whether there is a file at `path` that holds `data` and nothing else.

    In an open `directory` a link holds nothing, because the owner of the directory may have put it there.
    """
    extra = 0 if directory is None else os.O_NOFOLLOW | os.O_NONBLOCK

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | extra, dir_fd=directory)

    with refused("read", path), suppress(FileNotFoundError):
        try:
            with open(_within(path, directory), "rb", opener=opener) as file:
                return file.read(len(data) + 1) == data
        except OSError as refusal:
            if directory is None or refusal.errno != errno.ELOOP:
                raise
    return False


def belongs_to_us(directory: str) -> bool:
    """Return whether a directory, or the nearest existing one above it, belongs to this user."""
    return os.stat(_existing(directory)).st_uid == os.geteuid()


def make_directory(path: str, *, mode: int = 0o700) -> None:
    """Make the directory `path` with `mode`, and missing directories above it so that only their owner can write.

    The umask may take rights away but cannot add any. Raises OSError if something else than a directory is in the way.
    """
    above = os.path.dirname(path)
    if above != path and not os.path.exists(above):
        make_directory(above, mode=0o755)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def replace_link(path: str, target: str, *, directory: int | None = None, error: type[EskerError] = HostError) -> None:
    """Make `path` a symbolic link to `target` by rename, so that there is no moment without a link.

    Only one process may do so at a time.
    """
    place = _within(path, directory)
    temporary = _link_beside(place)
    with refused("link", path, error):
        try:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)  # a killed process may have left it
            os.symlink(target, temporary, dir_fd=directory)
            os.rename(temporary, place, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise


def clear_link(path: str) -> None:
    """Remove the link that a process which was killed in `replace_link` has left beside `path`."""
    if os.path.islink(_link_beside(path)):
        with suppress(OSError):
            os.unlink(_link_beside(path))


def _link_beside(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.tmp")


@contextmanager
def locked(
    path: str,
    *,
    shared: bool = False,
    directory: int | None = None,
    waiting: Callable[[], object] | None = None,
    error: type[EskerError] = HostError,
    remedy: str | None = None,
) -> Iterator[None]:
    """Hold a lock on the file `path`, which is made with mode 0600; `waiting` is called first if the lock is taken.

    It is a lock of flock(2). It is released when the process ends, however it ends, and programs that the process
    starts do not inherit it. Two locks within one process exclude each other too.
    """
    access = os.O_RDONLY if shared else os.O_RDWR  # NFS emulates flock by fcntl locks, which need it
    with refused("lock", path, error, remedy=remedy):
        flags = access | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(_within(path, directory), flags, 0o600, dir_fd=directory)
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


def sync_file_system(path: str) -> None:
    """Flush the file system of `path`: everything written to it so far then survives a power cut."""
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
