"""The user that a service runs as.

The services of an ordinary user run as that user. Root's services run as the declared user, else as the owner of the
project, or as nobody if root owns the project. So servers that refuse to run as root do start, and a service cannot
read files that only root may read. If that user cannot enter the project or the store, we start the service in a user
namespace: it sees itself as that user, but keeps root's rights. Then servers start too, but nothing is protected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import project_directory
from esker.errors import ServiceFailed
from esker.host import accounts
from esker.host.spawn import Identity

if TYPE_CHECKING:
    from esker.host.accounts import Account

__all__ = ["Choice", "choose"]

Unreachable = Callable[[Identity, tuple[str, ...]], str | None]
_OF_THE_CALLER = ("MAIL", "TMPDIR")


class Choice(NamedTuple):
    """The user that a service runs as."""

    identity: Identity | None
    """None means the supervisor's own user."""
    account: Account
    note: str | None = None
    """A note about this choice, for the service's status."""

    def variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return `variables` for this user: with its name and home, and without variables about the caller."""
        if self.identity is None or self.identity.namespace:
            return dict(variables)
        own = {name: value for name, value in variables.items() if name not in _OF_THE_CALLER and name[:4] != "XDG_"}
        return own | {"HOME": self.account.home, "USER": self.account.name, "LOGNAME": self.account.name}


def choose(
    service: str,
    user: str | None,
    project: str,
    paths: tuple[str, ...],
    unreachable: Unreachable = accounts.unreachable,
) -> Choice:
    """Return the user that `service` runs as.

    `user` is the declared one. The service must be able to enter or run `paths`, besides `project`. Each call of
    `unreachable` starts a child of 3 ms, so a caller with many services passes a cached one. Raises ServiceFailed if
    no user works.
    """
    uid = os.geteuid()
    if uid:
        return Choice(None, accounts.account(uid))
    account = _account(service, user, project)
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
    if remains is not None:  # in the namespace, root's rights hold for root's own directories only
        also = "neither can root in a user namespace"
        raise _cannot_run(service, account, closed, also, "a `user` who may enter it")
    note = (
        f"`{service}` runs with root's rights, so nothing is protected from it: it sees itself as uid {account.uid}, "
        f"but that user cannot enter `{closed}`"
    )
    return Choice(shown, account, note)


def _cannot_run(service: str, account: Account, closed: str, also: str, user: str) -> ServiceFailed:
    return ServiceFailed(
        f"service `{service}` cannot run: `{account.name}` (uid {account.uid}) cannot enter `{closed}`, and {also}",
        service=service,
        hint=f"move it to where everybody may enter, or give `{service}` {user}",
    )


def _account(service: str, user: str | None, project: str) -> Account:
    if user is None:
        return accounts.account(_owner(service, project) or accounts.NOBODY)
    account = accounts.find_account(user)
    if account is None:
        message = f"service `{service}` is to run as `{user}`, and there is no such user"
        raise ServiceFailed(message, service=service, hint="see `getent passwd`")
    return account


def _owner(service: str, project: str) -> int:
    """Return the owner of a project, whose path must not lead to a directory of somebody else by now."""
    try:
        with project_directory.opened_project(project) as directory:
            return os.fstat(directory).st_uid
    except OSError as refusal:
        reason = (refusal.strerror or str(refusal)).lower()
        message = f"service `{service}` cannot run as the owner of `{project}`: {reason} (`{refusal.filename}`)"
        raise ServiceFailed(message, service=service, hint="put the directory itself there") from None
