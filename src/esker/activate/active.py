"""The environments that are active in this process, whose threads all share one set of variables.

While a thread has an environment active, other threads may activate the same environment, but no other one. Otherwise
the variables that a thread reads would depend on the moment at which it reads them.
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
    """An activation, and a function that ends it."""

__all__ = ["PROCESS", "Active", "begin", "nothing", "shared"]


class Active:
    """The active environments, each under a key that begins with its project directory, then a NUL.

    Callers hold `lock` while they use anything else of it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.edits = edits.Edits()
        self.holders: dict[str, list[threading.Thread]] = {}
        """The threads that have activated each environment; a thread is listed once for each time it did so."""
        self._ends: dict[str, Callable[[], object]] = {}

    def check(self, key: str) -> None:
        """Raise EnvironmentBusy if another thread has another environment active."""
        thread = threading.current_thread()
        for other, holders in self.holders.items():
            for holder in holders:
                if other != key and holder is not thread:
                    project = other.partition("\0")[0]
                    raise EnvironmentBusy(
                        f"thread `{holder.name}` has `{project}` active",
                        hint="all threads share one set of variables: use `run` or `variables`, which do not change it",
                    )

    def enter(self, key: str, begin: Callable[[Mapping[str, str]], Begun]) -> bool:
        """Activate an environment for this thread, and return whether it was inactive before.

        Only then `begin` is called, with the present variables. It returns the activation and a function that ends it.
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
        """Undo one `enter`, and return a function to call after the lock is released.

        After the last `leave` of an environment, this function ends the activation. Before, it does nothing.
        """
        thread, holders = threading.current_thread(), self.holders[key]
        if len(holders) > 1:
            holders.remove(thread if thread in holders else holders[-1])
            return nothing
        remaining, changes = edits.leave(self.edits, key, variables.current())
        variables.assign(changes)
        self.edits = remaining
        del self.holders[key]
        return self._ends.pop(key)


def begin(plan: Plan, environ: Mapping[str, str], deadline: Deadline | None = None) -> Begun:
    """Return the activation of a plan in `environ`, and a function that ends this process's use of the environment.

    The hook runs unless a start of the plan is running already. `deadline` limits the hook here, and the waiting for
    the hook of another process.
    """
    runtime = plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"))
    if not plan.is_shared(runtime):
        return activation(plan, environ, runtime_directory=runtime), nothing
    from esker.activate.starts.attachment import Participant, attach

    attachment = attach(plan, environ, Participant(stays=True), deadline=deadline)
    return attachment.activation, attachment.leave


def shared(key: str, environ: Mapping[str, str], begin: Callable[[Mapping[str, str]], Begun]) -> Activation:
    """Return the activation that is active in this process under a key.

    If there is none, `begin` makes one, which ends before this function returns.
    """
    activation = dict(PROCESS.edits.entries).get(key)
    if activation is None:
        activation, end = begin(environ)
        end()
    return activation


def nothing() -> None:
    """Do nothing, for activations that need no end."""


PROCESS = Active()
