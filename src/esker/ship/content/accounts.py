"""The user of an image: what `user` of `[containerize.config]` means, and the lines of passwd and group for it."""

from __future__ import annotations

import re
from typing import NamedTuple

from esker.errors import ImageError

__all__ = ["ROOT", "User", "group_file", "passwd_file", "user_of"]

_FIRST = 10000
"""The uid and gid of names that have none."""
_USER = re.compile(r"(?P<user>[a-z_][a-z0-9_-]{0,31}|\d{1,9})(?::(?P<group>[a-z_][a-z0-9_-]{0,31}|\d{1,9}))?")
_NAMELESS = "app"


class User(NamedTuple):
    """The user that a container runs as."""

    name: str
    group: str
    uid: int
    gid: int
    directory: str = ""
    """The home directory that the base has for it; empty for a user whom the image adds."""

    @property
    def home(self) -> str:
        """The home directory."""
        if self.directory:
            return self.directory
        return "/root" if self.uid == 0 else f"/home/{self.name}"

    @property
    def numbers(self) -> str:
        """What the configuration holds: numbers, by which an orchestrator knows that it is not root."""
        return f"{self.uid}:{self.gid}"


ROOT = User("root", "root", 0, 0)


def user_of(declared: str | None) -> User:
    """Return the user that `user` names, root if it is None; raises ImageError for a text that names none.

    >>> user_of("app"), user_of("1000:2000").numbers
    (User(name='app', group='app', uid=10000, gid=10000, directory=''), '1000:2000')
    """
    if declared is None:
        return ROOT
    match = _USER.fullmatch(declared)
    if match is None:
        raise ImageError(
            f"`{declared}` in `user` of [containerize.config] is no user",
            hint='write a name or a number, with a group or without, such as "app" or "1000:1000"',
        )
    user, group = match["user"], match["group"]
    uid = int(user) if user.isdecimal() else 0 if user == "root" else _FIRST
    name = user if not user.isdecimal() else "root" if uid == 0 else _NAMELESS
    if group is None:
        return User(name, name, uid, uid)
    gid = int(group) if group.isdecimal() else 0 if group == "root" else _FIRST
    return User(name, group if not group.isdecimal() else "root" if gid == 0 else name, uid, gid)


def passwd_file(user: User, *, has_root: bool = False) -> bytes:
    """Return the content of /etc/passwd; with `has_root` the lines that are added to one with root."""
    users = [*(() if has_root else (ROOT,)), *((user,) if user.uid else ())]
    return "".join(f"{each.name}:x:{each.uid}:{each.gid}::{each.home}:/bin/sh\n" for each in users).encode()


def group_file(user: User, *, has_root: bool = False) -> bytes:
    """Return the content of /etc/group; with `has_root` the lines that are added to one with root's group."""
    groups = {**({} if has_root else {ROOT.gid: ROOT.group}), **({user.gid: user.group} if user.gid else {})}
    return "".join(f"{name}:x:{gid}:\n" for gid, name in groups.items()).encode()
