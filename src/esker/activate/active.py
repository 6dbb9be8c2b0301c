"""The environments that are active in this process, whose threads all share one set of variables.

While a thread has an environment active, other threads may activate the same environment, but no other one. Otherwise
the variables that a thread reads would depend on the moment at which it reads them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from esker.activate import edits
from esker.activate.composition import activation
from esker.errors import EnvironmentBusy
from esker.host import variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan
    from esker.host.clock import Deadline

__all__ = ["PROCESS", "Active", "Begun", "begin", "nothing", "shared", "unshared"]


def nothing() -> None:
    """Do nothing, for activations that need no end."""


def unshared(_: int) -> Callable[[], object]:
    """Let no process take part, for activations that belong to no start."""
    return nothing


class Begun(NamedTuple):
    """An activation that this process has begun."""

    activation: Activation
    end: Callable[[], object] = nothing
    share: Callable[[int], Callable[[], object]] = unshared
    """Lets the process that runs the environment's services, given by its pid, take part in the start too.

    It returns a function to call when the services have started."""


class Active:
    """The active environments, each under a key that begins with its project directory, then a NUL.

    Callers hold `lock` while they use anything else of it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.edits = edits.Edits()
        self.holders: dict[str, list[threading.Thread]] = {}
        """The threads that have activated each environment; a thread is listed once for each time it did so."""
        self._begun: dict[str, Begun] = {}

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

        Only then `begin` is called, with the present variables, to begin the activation.
        """
        self.check(key)
        fresh = key not in self.holders
        if fresh:
            environ = variables.current()
            begun = begin(environ)
            try:
                entered, changes = edits.enter(self.edits, key, begun.activation, environ)
                variables.assign(changes)
            except BaseException:
                begun.end()
                raise
            self.edits, self.holders[key], self._begun[key] = entered, [], begun
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
        return self._begun.pop(key).end

    def begun(self, key: str) -> Begun | None:
        """Return the activation of an environment for one more use, which does not end it; None if it is inactive."""
        active = self._begun.get(key)
        return active and active._replace(end=nothing)


def begin(plan: Plan, environ: Mapping[str, str], deadline: Deadline | None = None) -> Begun:
    """Begin the use of an environment by this process: return the activation of a plan in `environ`.

    The hook runs unless a start of the plan is running already. `deadline` limits the hook here, and the waiting for
    the hook of another process.
    """
    runtime = plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"))
    if not plan.is_shared(runtime, lasting=plan.has_temporary):
        return Begun(activation(plan, environ, runtime_directory=runtime))
    from esker.activate.starts.attachment import Participant, attach

    attachment = attach(plan, environ, Participant(stays=True), deadline=deadline)
    return Begun(attachment.activation, attachment.leave, attachment.share)


def shared(key: str, environ: Mapping[str, str], begin: Callable[[Mapping[str, str]], Begun]) -> Begun:
    """Return the activation that is active in this process under a key; if there is none, one that `begin` makes.

    The caller ends it in either case; one that was active stays so.
    """
    return PROCESS.begun(key) or begin(environ)


PROCESS = Active()
