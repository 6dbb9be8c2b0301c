"""The runtime directory: where sockets live that end with their last user.

One directory a user, below it one an environment, which `ESKER_RUNTIME_DIR` names and services put their sockets in.
The path is short because a socket's may have 107 bytes, and it never depends on TMPDIR, which differs between shells.

The directory of an environment belongs to its services: when the last one has ended, whatever they left there is
removed. A stage that keeps files of its own gives them a name beside it, not in it.
"""

from __future__ import annotations

import errno
import os
import stat

from esker.errors import HostError
from esker.host import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = [
    "LONGEST_SOCKET_PATH",
    "check_socket_path",
    "environment_directory",
    "environment_name",
    "is_ours",
    "make",
    "make_user",
    "user_directory",
]

LONGEST_SOCKET_PATH = 107
"""Bytes; Linux's `sun_path` is 108 with its closing zero."""


def user_directory(xdg_runtime_dir: str | None) -> str:
    """Return the runtime directory of this user: `$XDG_RUNTIME_DIR/esker` if that is safe, else `/tmp/esker-UID`.

    Root's is always below /tmp: its services run under another uid, and those cannot enter /run/user/0.
    """
    uid = os.geteuid()
    runtime = places.runtime(xdg_runtime_dir, uid) if uid else None
    return f"/tmp/esker-{uid}" if runtime is None else f"{runtime}/esker"  # noqa: S108  (`make` refuses a directory that another user made there)


def environment_directory(dot_flox: str, xdg_runtime_dir: str | None) -> str:
    """Return the runtime directory of the environment at `dot_flox`, a `.flox` by its real path."""
    return f"{user_directory(xdg_runtime_dir)}/{environment_name(dot_flox)}"


def environment_name(dot_flox: str, inode: int | None = None) -> str:
    """Return the short name that an environment has in paths which must stay short.

    It is made from the path and the inode (default: that of what is at the path), so that a checkout which was removed
    and made again is another one.
    """
    from zlib import crc32

    return f"{crc32(os.fsencode(dot_flox)):08x}{os.stat(dot_flox).st_ino if inode is None else inode:x}"


def is_ours(directory: str) -> bool:
    """Return whether `directory` (untrusted) is one that only this user, or root, may have put anything into."""
    try:
        found = os.lstat(directory)
    except (OSError, ValueError):
        return False
    private = found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return os.path.isabs(directory) and stat.S_ISDIR(found.st_mode) and private


def make(directory: str) -> None:
    """Make the runtime directory of an environment, and the user's above it, where they are missing.

    Raises HostError when either is a link, no directory, another user's, or open to others.
    """
    make_user(os.path.dirname(directory))
    _make(directory, 0o700, owner=os.geteuid() or None)


def make_user(directory: str) -> None:
    """Make the runtime directory of this user where it is missing; raises HostError as `make` does."""
    uid = os.geteuid()
    # Services of root run under another uid, which gets its environment's directory and may pass through the user's.
    _make(directory, 0o700 if uid else 0o711, owner=uid)


def _make(path: str, mode: int, owner: int | None) -> None:
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)  # whatever the umask
    except FileExistsError:
        pass
    except OSError as error:
        _refuse(path, (error.strerror or str(error)).lower())
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        _refuse(path, "it is a link")
    if not stat.S_ISDIR(found.st_mode):
        _refuse(path, "it is no directory")
    if owner is not None and found.st_uid != owner:
        _refuse(path, f"it belongs to uid {found.st_uid}")
    if found.st_mode & 0o022:
        _refuse(path, f"its mode is {stat.S_IMODE(found.st_mode):04o}, so that others may write there")


def _refuse(path: str, reason: str) -> NoReturn:
    hint = "remove it, or set XDG_RUNTIME_DIR to a directory of yours with mode 0700"
    raise HostError(f"cannot use the runtime directory `{path}`: {reason}", hint=hint)


def clear(directory: str) -> None:
    """Remove what services have left in `directory`, and then the directory.

    While somebody listens on a socket in it, only the sockets that nobody listens on are removed, with their locks.
    """
    try:
        if os.path.islink(directory):
            return  # not what services were given
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    listening = {path for path in _listening() if os.path.dirname(path) == directory}
    for name in names:
        path = f"{directory}/{name}"
        try:
            mode = os.lstat(path).st_mode
            if path in listening or (listening and not stat.S_ISSOCK(mode)):
                continue
            if stat.S_ISDIR(mode):
                from esker.host.trees import remove_tree

                remove_tree(path)
                continue
            os.unlink(path)
            if listening and f"{name}.lock" in names:  # PostgreSQL's
                os.unlink(f"{path}.lock")
        except FileNotFoundError:
            continue
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.ENOENT}:
            raise


def _listening() -> set[str]:
    """The sockets that somebody listens on, by /proc/net/unix: flags are column 3, the path is column 7."""
    try:
        with open("/proc/net/unix", "rb") as file:
            rows = [line.rstrip(b"\n").split(maxsplit=7) for line in file]
    except OSError:
        return set()
    return {os.fsdecode(row[7]) for row in rows if row[3] == b"00010000" and row[7:]}


def check_socket_path(path: str) -> None:
    """Raise HostError when `path` is too long for a socket."""
    size = len(os.fsencode(path))
    if size > LONGEST_SOCKET_PATH:
        raise HostError(
            f"the socket path `{path}` has {size} bytes, and the system allows {LONGEST_SOCKET_PATH}",
            hint="choose a shorter directory, such as by a shorter XDG_RUNTIME_DIR",
        )
