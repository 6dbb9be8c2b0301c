"""Which environments this process has active: one set of variables, shared by all its threads.

While a thread has an environment active, others may activate the same one, but no other: what a program finds in its
variables would otherwise depend on when it looked.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from esker.activate import edits
from esker.activate.composition import activation
from esker.errors import EnvironmentBusy
from esker.host import variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan
    from esker.host.clock import Deadline

    Begun = tuple[Activation, Callable[[], object]]
    """What an activation changes, and what ends it."""

__all__ = ["PROCESS", "Active", "begin", "nothing", "shared"]


class Active:
    """The active environments, each under a key that begins with its project directory, then a NUL.

    Everything but `lock` is read and changed under it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.edits = edits.Edits()
        self.holders: dict[str, list[threading.Thread]] = {}
        """For each active environment's key, the threads that have activated it, once for each time."""
        self._ends: dict[str, Callable[[], object]] = {}

    def check(self, key: str) -> None:
        """Raise EnvironmentBusy when another thread has another environment active."""
        thread = threading.current_thread()
        for other, holders in self.holders.items():
            for holder in holders:
                if other != key and holder is not thread:
                    project = other.partition("\0")[0]
                    raise EnvironmentBusy(
                        f"thread `{holder.name}` has `{project}` active",
                        hint="a process has one set of variables: use `run` or `variables`, which set none",
                    )

    def enter(self, key: str, begin: Callable[[Mapping[str, str]], Begun]) -> bool:
        """Activate an environment, and return whether it was not active before: only then `begin` is called.

        It is given the variables as they are, and returns the activation and what ends it.
        """
        self.check(key)
        fresh = key not in self.holders
        if fresh:
            environ = variables.current()
            activation, end = begin(environ)
            try:
                entered, changes = edits.enter(self.edits, key, activation, environ)
                variables.assign(changes)
            except BaseException:
                end()
                raise
            self.edits, self.holders[key], self._ends[key] = entered, [], end
        self.holders[key].append(threading.current_thread())
        return fresh

    def leave(self, key: str) -> Callable[[], object]:
        """Undo one `enter`, and return what is left to do outside the lock: it ends the activation after the last."""
        thread, holders = threading.current_thread(), self.holders[key]
        if len(holders) > 1:
            holders.remove(thread if thread in holders else holders[-1])
            return nothing
        left, changes = edits.leave(self.edits, key, variables.current())
        variables.assign(changes)
        self.edits = left
        del self.holders[key]
        return self._ends.pop(key)


def begin(plan: Plan, environ: Mapping[str, str], deadline: Deadline | None = None) -> Begun:
    """Return what activating a plan changes in `environ`, and what ends this process's use of the environment.

    The hook runs unless a start of the plan is running anywhere; `deadline` limits how long to wait for either.
    """
    runtime = plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"))
    if not plan.is_shared(runtime):
        return activation(plan, environ, runtime_directory=runtime), nothing
    from esker.activate.starts.attachment import Participant, attach

    attachment = attach(plan, environ, Participant(stays=True), deadline=deadline)
    return attachment.activation, attachment.leave


def shared(key: str, environ: Mapping[str, str], begin: Callable[[Mapping[str, str]], Begun]) -> Activation:
    """Return the activation that this process has under a key, or else one that begins and ends within this call."""
    activation = dict(PROCESS.edits.entries).get(key)
    if activation is None:
        activation, end = begin(environ)
        end()
    return activation


def nothing() -> None:
    """Do nothing: the end of an activation that needs none."""


PROCESS = Active()
