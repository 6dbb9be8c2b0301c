"""A start of an environment, and the processes that are attached to it.

A start is one evaluation of the project's `[vars]` and one run of its `hook.on-activate`. It lasts while a process is
attached to it, and then until its `hook.on-deactivate` has run. The process that runs the environment's services is
attached too, as `SERVICES`: as long as services run, their start lasts, and its hook does not run again.
"""

from __future__ import annotations

from esker.host import process_id
from esker.host.process_id import ProcessId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NamedTuple
else:
    from esker.host.named_tuple import NamedTuple

__all__ = ["SERVICES", "Member", "Start", "member_of"]

SERVICES = "services"
"""The token of the process that runs the services. It takes part in starts, but no mode clashes with it."""


class Member(NamedTuple):
    """One use of an environment by a process; the token tells several uses by the same process apart."""

    process: ProcessId
    token: str = ""

    def record(self) -> tuple[int, int, str]:
        """Return the use in the form that is written as JSON."""
        return *self.process, self.token

    @classmethod
    def of(cls, record: tuple[int, int, str]) -> Member:
        """Return the use that has this `record`; raises TypeError or ValueError if no use can have it."""
        pid, start, token = record
        if not (type(pid) is int and type(start) is int and isinstance(token, str)):
            raise TypeError(record)
        return cls(ProcessId(pid, start), token)


def member_of(pid: int, token: str = "") -> Member:
    """Return the use of an environment by a process."""
    return Member(process_id.of(pid), token)


class Start:
    """A running start of an environment."""

    __slots__ = ("ends", "identity", "keeper", "members", "mode", "ready", "token")

    def __init__(
        self,
        *,
        token: str,
        identity: str,
        mode: str,
        ready: bool,
        ends: bool,
        keeper: Member | None,
        members: Iterable[Member],
    ) -> None:
        self.token = token
        """Ends the name of the file with the variables that the start has changed."""
        self.identity = identity
        """The identity of the plan. A process may attach only if its own plan has the same one."""
        self.mode = mode
        self.ready = ready
        """Whether processes may attach: the hook has run, or the plan has none."""
        self.ends = ends
        """Whether `hook.on-deactivate` has to run when the last process has left."""
        self.keeper = keeper
        """The process that runs the hook; once the start is ready, the watcher, or None if there is no watcher."""
        self.members = list(members)

    def record(self) -> dict[str, Any]:
        """Return the start in the form that is written as JSON."""
        record = {name: getattr(self, name) for name in self.__slots__}
        record["keeper"] = self.keeper and self.keeper.record()
        record["members"] = [use.record() for use in self.members]
        return record

    @classmethod
    def of(cls, record: dict[str, Any]) -> Start:
        """Return the start that has this `record`; raises TypeError, ValueError or KeyError if no start can have it."""
        texts, truths = (record["token"], record["identity"], record["mode"]), (record["ready"], record["ends"])
        if not (all(isinstance(text, str) for text in texts) and all(isinstance(truth, bool) for truth in truths)):
            raise TypeError(record)
        keeper = None if record["keeper"] is None else Member.of(record["keeper"])
        return cls(**record | {"keeper": keeper, "members": map(Member.of, record["members"])})

    def mark_ready(self, keeper: Member | None) -> None:
        """Note that the hook has run, and which watcher, if any, waits for the last process to leave."""
        self.keeper, self.ready = keeper, True

    @property
    def has_services(self) -> bool:
        """Whether services run that belong to the start."""
        return any(use.token == SERVICES for use in self.members)

    def prune(self) -> bool:
        """Forget the processes that have ended, and return whether the start is still needed.

        It is while a process is attached to it, and while its keeper lives and has a hook to finish.
        """
        self.members = [use for use in self.members if use.process.lives]
        if self.ready and self.members:
            return True
        return self.keeper is not None and self.keeper.process.lives and (self.ends or not self.ready)
