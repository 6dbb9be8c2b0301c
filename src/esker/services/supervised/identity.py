"""Under which user a service runs.

An ordinary user's services are that user's. Root's run as the user that is declared, else as the owner of the project,
else as nobody, so that a server that refuses root starts and a service cannot read what is root's alone. Where that
user cannot enter the project or the store, the service is shown another user in a user namespace but keeps root's
rights: servers start, and nothing is protected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ServiceFailed
from esker.host import accounts
from esker.host.spawn import Identity

if TYPE_CHECKING:
    from esker.host.accounts import Account

__all__ = ["Choice", "choose"]

Unreachable = Callable[[Identity, tuple[str, ...]], str | None]
_OF_THE_CALLER = ("MAIL", "TMPDIR")


class Choice(NamedTuple):
    """Whose rights a service gets."""

    identity: Identity | None
    """None leaves it the supervisor's own."""
    account: Account
    note: str | None = None
    """What people should know about it."""

    def variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return `variables` as they are for this user: its own name and home, and nothing of the caller's."""
        if self.identity is None or self.identity.namespace:
            return dict(variables)
        kept = {name: value for name, value in variables.items() if name not in _OF_THE_CALLER and name[:4] != "XDG_"}
        return kept | {"HOME": self.account.home, "USER": self.account.name, "LOGNAME": self.account.name}


def choose(
    service: str,
    user: str | None,
    project: str,
    paths: tuple[str, ...],
    unreachable: Unreachable = accounts.unreachable,
) -> Choice:
    """Return whose rights `service` gets; `paths` are what it must be able to enter or run besides `project`.

    `unreachable` answers for many services at once when it remembers: each question takes a child of 3 ms.
    """
    uid = os.geteuid()
    if uid:
        return Choice(None, accounts.account(uid))
    account = _wanted(service, user, project)
    if account.uid == 0:
        return Choice(None, account)
    identity = Identity(account.uid, account.gid)
    closed = unreachable(identity, (project, *paths))
    if closed is None:
        return Choice(identity, account)
    shown = identity._replace(namespace=True)
    try:
        remains = unreachable(shown, (project, *paths))
    except PermissionError:
        also = "this system refuses user namespaces"
        raise _cannot_run(service, account, closed, also, 'the `user = "root"`') from None
    if remains is not None:  # what root is shown in a namespace may enter what is root's, and not what is another's
        also = "root shown as another user cannot either"
        raise _cannot_run(service, account, closed, also, "a `user` who may enter it")
    note = (
        f"`{service}` runs with root's rights: it sees itself as uid {account.uid}, which cannot enter `{closed}`, "
        "and nothing is protected from it"
    )
    return Choice(shown, account, note)


def _cannot_run(service: str, account: Account, closed: str, also: str, user: str) -> ServiceFailed:
    return ServiceFailed(
        f"service `{service}` cannot run: `{account.name}` (uid {account.uid}) cannot enter `{closed}`, and {also}",
        service=service,
        hint=f"move it to where everybody may enter, or give `{service}` {user}",
    )


def _wanted(service: str, user: str | None, project: str) -> Account:
    if user is None:
        return accounts.account(os.stat(project).st_uid or accounts.NOBODY)
    account = accounts.find_account(user)
    if account is None:
        message = f"service `{service}` is to run as `{user}`, and there is no such user"
        raise ServiceFailed(message, service=service, hint="see `getent passwd`")
    return account
