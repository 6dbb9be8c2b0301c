"""A project's environment in a process that runs tests: active once, with its services leased to this process.

If the environment is not active yet, the `esker` command works out the variables, and this module sets them. Inside
`esker activate` it only joins the active environment. Either way, the lease ends when this process ends, for whatever
reason.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from esker_pytest.command import find_command
from esker_pytest.errors import EskerError
from esker_pytest.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["ActiveEnvironment", "active"]


class ActiveEnvironment:
    """The environment of the tests, active in this process."""

    def __init__(self, project: str, session: Session) -> None:
        self.project = project
        """The absolute path of the project directory, with symbolic links resolved."""
        self._session = session
        self._held: set[str] = set()
        self._failed: dict[frozenset[str], EskerError] = {}

    def start(self, *names: str, seconds: float = 60.0) -> None:
        """Start services and their dependencies, or join those that run already, and return when all are ready.

        They run until the last test has ended, and longer if somebody else uses them or started them to stay. Raises
        ServiceFailed, ServicesNotReady or UnknownService. If the same services are asked for again after a failure, the
        same error is raised at once.
        """
        __tracebackhide__ = True  # pytest shows the caller's line, and what failed, in place of our code
        missing = frozenset(names) - self._held
        if missing and missing not in self._failed:
            try:
                self._session.ask("start", services=sorted(missing), seconds=seconds)
            except EskerError as error:
                self._failed[missing] = error
        if missing in self._failed:
            raise self._failed[missing].with_traceback(None)
        self._held |= missing


@contextmanager
def active(root: str, named: str) -> Iterator[ActiveEnvironment]:
    """Yield the environment for the tests below `root`; at the end, restore this process and end the lease.

    The project is `named`, relative to `root`, if that is not empty; otherwise the nearest one, and if there is none,
    the one that is active around this process.
    """
    session = Session(find_command(root, named))
    try:
        opened = session.ask("open", root=root, project=named, environ=dict(os.environ))
        before = dict(os.environ)
        _change(opened)
        try:
            yield ActiveEnvironment(opened["project"], session)
        finally:
            try:
                _change(session.ask("close", environ=dict(os.environ)))
            except EskerError:
                _undo(opened, before)
                raise
    finally:
        session.end()


def _change(changes: Mapping[str, Any]) -> None:
    """Set and unset variables of this process."""
    os.environ.update(changes["set"])
    for name in changes["unset"]:
        os.environ.pop(name, None)


def _undo(changes: Mapping[str, Any], before: Mapping[str, str]) -> None:
    """Give each variable its value from before, unless a test has changed it: the command cannot tell."""
    set_by_us = {**changes["set"], **dict.fromkeys(changes["unset"])}
    names = [name for name, value in set_by_us.items() if os.environ.get(name) == value]
    restored = {name: before[name] for name in names if name in before}
    _change({"set": restored, "unset": [name for name in names if name not in before]})
