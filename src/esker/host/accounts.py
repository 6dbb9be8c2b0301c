"""The users of this machine: their accounts, which paths they can reach, and giving them access to a directory."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, NamedTuple

from esker.host.spawn import Identity, assume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "NOBODY",
    "Account",
    "account",
    "described",
    "find_account",
    "find_home",
    "give_directory",
    "home",
    "unreachable",
]

NOBODY = 65534


class Account(NamedTuple):
    """One user."""

    uid: int
    gid: int
    name: str
    home: str


def account(uid: int) -> Account:
    """Return the user with `uid`; if the machine does not know it, use the uid as gid and name, and `/` as home."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid, uid, str(uid), "/")
    return Account(uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def described(uid: int) -> str:
    """Return the user with `uid` as messages name it: the name where the machine knows one.

    >>> described(0), described(4_000_000_000)
    ('user `root`', 'uid 4000000000')
    """
    try:
        return f"user `{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return f"uid {uid}"


def find_account(name: str) -> Account | None:
    """Return the user with this name, or with this uid if `name` is a number; None if there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return account(int(name)) if name.isdigit() else None
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def home(environ: Mapping[str, str]) -> str:
    """Return the user's home directory: HOME if that is an absolute path, else the one in the user database."""
    named = environ.get("HOME", "")
    return named if os.path.isabs(named) else find_home(os.geteuid()) or "/"


def find_home(uid: int) -> str | None:
    """Return the home directory of the user with `uid` in the user database; None if it has no absolute path for it."""
    try:
        directory = pwd.getpwuid(uid).pw_dir
    except KeyError:
        return None
    return directory if os.path.isabs(directory) else None


def unreachable(identity: Identity, paths: Iterable[str]) -> str | None:
    """Return the first of `paths` that `identity` cannot enter or run, or None.

    A child process takes on the identity and asks the kernel. Raises PermissionError when it cannot do so.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            assume(identity)
            refused = next((path for path in paths if not os.access(path, os.X_OK)), "")
            # The `+` tells "every path is reachable" from a child that failed before it could write.
            os.write(writing, b"+" + os.fsencode(refused))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as report:
        answer = report.read()
    os.waitpid(pid, 0)
    if not answer:
        raise PermissionError(f"cannot become uid {identity.uid}")
    return os.fsdecode(answer[1:]) or None


def give_directory(directory: str, identity: Identity) -> None:
    """Let `identity` make its own files in `directory`, which belongs to root, but not touch other users' files.

    Nothing changes if the directory belongs to another user, or if a link leads to it: the owner of a directory above
    could put such a link there at any moment. The first identity's group becomes the directory's group. When an
    identity of another group comes, the directory gets the mode of /tmp.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid or not identity.uid or not _is_at(descriptor, directory):
            return
        if status.st_gid == 0:
            os.fchown(descriptor, 0, identity.gid)
            os.fchmod(descriptor, 0o1771)  # sticky: nobody can delete or rename another user's files
        elif status.st_gid != identity.gid:
            os.fchmod(descriptor, 0o1777)  # as /tmp
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    """Return whether an open directory is at `path` with no link on the way except /tmp, which is root's."""
    parent, _, rest = path.partition("/tmp/")  # noqa: S108
    real_path = path if parent else f"{os.path.realpath('/tmp')}/{rest}"  # noqa: S108
    return os.readlink(f"/proc/self/fd/{descriptor}") == real_path
