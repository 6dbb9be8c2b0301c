"""The users of this machine: who they are, which paths they can enter, and directories that are given to them."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, NamedTuple

from esker.host.spawn import Identity, assume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["NOBODY", "Account", "account", "find_account", "give", "home", "unreachable"]

NOBODY = 65534


class Account(NamedTuple):
    """One user."""

    uid: int
    gid: int
    name: str
    home: str


def account(uid: int) -> Account:
    """Return the user with `uid`; one that the machine has no name for is its own group and has no home."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid, uid, str(uid), "/")
    return Account(uid, found.pw_gid, found.pw_name, found.pw_dir)


def find_account(name: str) -> Account | None:
    """Return the user called `name`, or with that uid, or None."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return account(int(name)) if name.isdigit() else None
    return Account(found.pw_uid, found.pw_gid, found.pw_name, found.pw_dir)


def home(environ: Mapping[str, str]) -> str:
    """Return the user's home directory: HOME, or where that is no absolute path, the one that the machine knows."""
    named = environ.get("HOME", "")
    return named if os.path.isabs(named) else account(os.geteuid()).home


def unreachable(identity: Identity, paths: Iterable[str]) -> str | None:
    """Return the first of `paths` that `identity` cannot enter or run, or None; asked of the kernel, by a child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            assume(identity)
            refused = next((path for path in paths if not os.access(path, os.X_OK)), "")
            os.write(writing, b"+" + os.fsencode(refused))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as report:
        said = report.read()
    os.waitpid(pid, 0)
    if not said:
        raise PermissionError(f"cannot become uid {identity.uid}")
    return os.fsdecode(said[1:]) or None


def give(directory: str, identity: Identity) -> None:
    """Let `identity` make files of its own in root's `directory` and touch nobody else's.

    What belongs to another user stays as it is, and so does what a link leads to: who owns a directory above could
    put one there at any moment. The directory goes to the group of the first who asks; when one of another group asks
    too it becomes what /tmp is.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid or not identity.uid or not _is_at(descriptor, directory):
            return
        if found.st_gid == 0:
            os.fchown(descriptor, 0, identity.gid)
            os.fchmod(descriptor, 0o1771)  # sticky: nobody touches another's
        elif found.st_gid != identity.gid:
            os.fchmod(descriptor, 0o1777)  # as /tmp
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    """Return whether an open directory is at `path` without a link on the way; /tmp, which is root's, may be one."""
    parent, _, rest = path.partition("/tmp/")  # noqa: S108
    place = path if parent else f"{os.path.realpath('/tmp')}/{rest}"  # noqa: S108
    return os.readlink(f"/proc/self/fd/{descriptor}") == place
