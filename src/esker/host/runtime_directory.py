"""The runtime directory: the place for sockets, which are removed when nobody uses them any more.

Each user has one directory, and each environment has one below it. `ESKER_RUNTIME_DIR` names the environment's, and
its services put their sockets there. The path is short because a socket path may have at most 107 bytes. It never
depends on TMPDIR, which differs between shells.

The directory of an environment belongs to its services: when the last one has ended, whatever they left there is
removed. A stage that keeps files of its own puts them beside that directory, not in it.
"""

from __future__ import annotations

import errno
import os
import stat

from esker.host import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from esker.errors import HostError

__all__ = [
    "LONGEST_SOCKET_PATH",
    "check_socket_path",
    "claim_user",
    "directory_name",
    "environment_directory",
    "is_private",
    "make",
    "make_user",
    "refused",
    "user_directory",
]

LONGEST_SOCKET_PATH = 107
"""Bytes; `sun_path` of Linux has 108, including the final zero byte."""


def user_directory(xdg_runtime_dir: str | None) -> str:
    """Return the runtime directory of this user: `$XDG_RUNTIME_DIR/esker` if that is safe, else `/tmp/esker-UID`.

    Root's is always below /tmp, because root's services run under another uid, which cannot enter /run/user/0.
    """
    uid = os.geteuid()
    runtime = places.runtime(xdg_runtime_dir, uid) if uid else None
    return f"{runtime}/esker" if runtime is not None else f"/tmp/esker-{outer_uid(uid)}"  # noqa: S108  (`make` refuses a directory that another user made there)


def outer_uid(uid: int) -> int:
    """Return the uid that `uid` has outside of the user namespace: its root shares /tmp with the machine's own root."""
    try:
        with open("/proc/self/uid_map", "rb") as file:
            for line in file if uid == 0 else ():
                first, outside, count = map(int, line.split())
                if first <= uid < first + count:
                    return outside + uid - first
    except OSError:  # a system without user namespaces
        pass
    return uid


def environment_directory(dot_flox: str, xdg_runtime_dir: str | None) -> str:
    """Return the runtime directory of the environment whose `.flox` has the real path `dot_flox`."""
    return f"{user_directory(xdg_runtime_dir)}/{directory_name(dot_flox)}"


def directory_name(dot_flox: str, inode: int | None = None) -> str:
    """Return the name of an environment for use in paths that must stay short.

    It is made from the path and the inode, so that a checkout that was removed and made again gets another name. The
    inode is by default the one that the path has now.
    """
    from zlib import crc32

    return f"{crc32(os.fsencode(dot_flox)):08x}{os.stat(dot_flox).st_ino if inode is None else inode:x}"


def is_private(directory: str) -> bool:
    """Return whether `directory` (untrusted) is absolute and a directory that only we, or root, can write to."""
    try:
        status = os.lstat(directory)
    except (OSError, ValueError):
        return False
    private = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return os.path.isabs(directory) and stat.S_ISDIR(status.st_mode) and private


def make(directory: str) -> None:
    """Make the runtime directory of an environment, and the user's directory above it, if they are missing.

    Raises HostError when either cannot be made, is not a directory, is a link, belongs to another user, or lets others
    write.
    """
    make_user(os.path.dirname(directory))
    _make(directory, 0o700, owner=os.geteuid() or None)


def make_user(directory: str) -> None:
    """Make the runtime directory of this user if it is missing; raises HostError as `make` does."""
    uid = os.geteuid()
    # Root's services run under another uid. That uid owns its environment's directory, and must be able to pass through
    # root's directory (the 1 in 0711) to reach it.
    _make(directory, 0o700 if uid else 0o711, owner=uid)


def claim_user(directory: str) -> None:
    """As `make_user`, but let it be missing where it cannot be made, as in a read-only /tmp.

    For whoever only tells programs where it is: what we cannot make there, another user cannot make either.
    """
    try:
        make_user(directory)
    except Exception:  # HostError, which is not imported for a directory that is as it should be
        if os.path.lexists(directory):
            raise


def _make(path: str, mode: int, owner: int | None) -> None:
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)  # despite the umask
    except FileExistsError:
        pass
    except OSError as error:
        raise refused(path, error) from None
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        reason = "it is a link"
    elif not stat.S_ISDIR(status.st_mode):
        reason = "it is not a directory"
    elif owner is not None and status.st_uid != owner:
        reason = f"it belongs to uid {status.st_uid}"
    elif status.st_mode & 0o022:
        reason = f"its mode is {stat.S_IMODE(status.st_mode):04o}, so that others may write there"
    else:
        return
    if os.geteuid() not in {0, status.st_uid}:
        raise _unusable(path, reason, "set XDG_RUNTIME_DIR to a directory of yours with mode 0700")
    from shlex import quote

    quoted = quote(path)
    raise _unusable(path, reason, f"see what it holds, and move it away: mv {quoted} {quoted}.old")


def refused(path: str, error: OSError) -> HostError:
    """Return the error for a runtime directory, or a file in it, that the system did not let us make or write."""
    from esker.host import causes

    above = os.path.dirname(path)
    elsewhere = "set XDG_RUNTIME_DIR to a directory of yours with mode 0700 and free space" if os.geteuid() else None
    if causes.is_full(error):
        hint = f"make room in `{above}`" + (f", or {elsewhere}" if elsewhere else "")
    else:
        hint = elsewhere or f"make `{above}` writable, with free space"
    return _unusable(path, causes.reason(error), hint)


def _unusable(path: str, reason: str, hint: str) -> HostError:
    from esker.errors import HostError

    return HostError(f"cannot use the runtime directory `{path}`: {reason}", hint=hint)


def clear(directory: str) -> None:
    """Remove what services have left in `directory`, and then the directory itself.

    While a program still listens on a socket there, this removes only sockets without a listener, and their lock files.
    """
    try:
        if os.path.islink(directory):
            return  # services were given a directory, so somebody else has put this link here
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
            if listening and f"{name}.lock" in names:  # PostgreSQL makes such a lock file for each socket
                os.unlink(f"{path}.lock")
        except FileNotFoundError:
            continue
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.ENOENT}:
            raise


def _listening() -> set[str]:
    """Return the sockets that have a listener, from /proc/net/unix: column 3 holds the flags, column 7 the path."""
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
        from esker.errors import HostError

        raise HostError(
            f"the socket path `{path}` has {size} bytes, and the system allows {LONGEST_SOCKET_PATH}",
            hint="use a shorter directory: set XDG_RUNTIME_DIR to a shorter path",
        )
