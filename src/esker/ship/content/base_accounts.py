"""The users and groups of a base, and those that an image adds to them.

`passwd` has a line for each user, `NAME:x:UID:GID:COMMENT:HOME:SHELL`, and `group` one for each group,
`NAME:x:GID:MEMBERS`. No line of the base is changed or left out, also one that is none.

Specification: passwd(5) and group(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.ship.content.accounts import User, group_file, passwd_file

if TYPE_CHECKING:
    from collections.abc import Collection

    from esker.ship.base.facts import BaseFacts

__all__ = ["Accounts"]

_FIRST = 10000
"""The first uid and gid that a name without a number gets."""
_PASSWD_FIELDS, _GROUP_FIELDS = 6, 3
_LONGEST_NUMBER = 9
_NAMELESS = "app"


class _Account(NamedTuple):
    """A line of passwd."""

    name: str
    uid: int
    gid: int
    home: str


class Accounts:
    """The users and groups of a base."""

    def __init__(self, facts: BaseFacts) -> None:
        self._passwd = facts.passwd or b""
        self._group = facts.group or b""
        self._users = list(_users(self._passwd))
        self._groups = list(_groups(self._group))

    def user(self, text: str, *, is_declared: bool) -> User:
        """Return the user that `NAME`, `UID`, or either with `:GROUP` means in the base; root for an empty text.

        A declared name that the base does not have is a user whom the image adds. Raises ImageError for another one.
        """
        name, _, group = text.partition(":")
        account = self._account(name or "0")
        if account is None and not is_declared and not _is_number(name):
            raise ImageError(
                f"the base runs as `{name}`, whom its /etc/passwd does not have",
                hint="declare a user: `user` of [containerize.config]",
            )
        if account is None:
            uid = int(name) if _is_number(name) else _free({each.uid for each in self._users})
            account = _Account(self._unused(name), uid, -1, "")
        gid, group_name = self._its_group(group, account)
        return User(account.name, group_name, account.uid, gid, account.home)

    def passwd(self, user: User) -> bytes:
        """Return the base's passwd with a line for a user."""
        if any(each.uid == user.uid for each in self._users):
            return self._passwd
        return _ended(self._passwd) + passwd_file(user, has_root=any(each.uid == 0 for each in self._users))

    def group(self, user: User) -> bytes:
        """Return the base's group with a line for the user's group."""
        if any(gid == user.gid for _, gid in self._groups):
            return self._group
        return _ended(self._group) + group_file(user, has_root=any(gid == 0 for _, gid in self._groups))

    def _account(self, name: str) -> _Account | None:
        if _is_number(name):
            uid = int(name)
            return next((each for each in self._users if each.uid == uid), None if uid else _Account("root", 0, 0, ""))
        known = next((each for each in self._users if each.name == name), None)
        return known or (_Account("root", 0, 0, "") if name == "root" else None)

    def _its_group(self, group: str, account: _Account) -> tuple[int, str]:
        """Return number and name of the group of a user."""
        names = {gid: name for name, gid in reversed(self._groups)}
        if group and not _is_number(group):
            gid = next((gid for name, gid in self._groups if name == group), 0 if group == "root" else -1)
            return (gid if gid >= 0 else _free({*names}), group)
        if group:
            gid = int(group)
        elif account.gid >= 0:
            gid = account.gid
        else:  # a user whom the image adds gets a group of its name
            own = account.uid if account.uid not in names else _free({*names})
            gid = next((gid for name, gid in self._groups if name == account.name), own)
        return gid, names.get(gid, "root" if gid == 0 else account.name)

    def _unused(self, name: str) -> str:
        if not _is_number(name):
            return name
        return _NAMELESS if all(each.name != _NAMELESS for each in self._users) else f"{_NAMELESS}{name}"


def _users(data: bytes) -> list[_Account]:
    lines = [line.split(":") for line in data.decode(errors="replace").split("\n")]
    return [
        _Account(each[0], int(each[2]), int(each[3]), each[5])
        for each in lines
        if len(each) >= _PASSWD_FIELDS and _is_number(each[2]) and _is_number(each[3]) and each[0]
    ]


def _groups(data: bytes) -> list[tuple[str, int]]:
    lines = [line.split(":") for line in data.decode(errors="replace").split("\n")]
    return [(each[0], int(each[2])) for each in lines if len(each) >= _GROUP_FIELDS and _is_number(each[2]) and each[0]]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER


def _free(taken: Collection[int]) -> int:
    number = _FIRST
    while number in taken:
        number += 1
    return number


def _ended(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"
