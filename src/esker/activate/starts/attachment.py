"""Attaching: the first process of an environment runs its hook, the others take over what that has changed.

What is taken over is the difference that the project's own variables and hook have made, on the newcomer's own values:
its directories and ports are composed for each process anew.
"""

from __future__ import annotations

import atexit
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.activate.composition import (
    composed,
    evaluated,
    inherited,
    is_active,
    is_started,
    resulting_activation,
)
from esker.activate.difference import Activation, difference
from esker.activate.hook import exported_names
from esker.activate.starts import registry
from esker.activate.starts.watcher import watch
from esker.errors import ActivationFailed, HostError, StartWithinHook, TimedOut
from esker.host import background, process_table
from esker.host.clock import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from esker.activate.plan import Plan

__all__ = ["Attachment", "User", "attach", "check_outside_hooks"]

AT_THE_END = 10.0
"""Seconds that a program which leaves waits for what runs then."""
_PAUSE = 0.05
"""Seconds between two looks at another process's hook."""
_LOOKS = 100
"""How many of them before the caller is told, and told again."""


class User(NamedTuple):
    """The process that is to use an environment."""

    pid: int | None = None
    """None is this one."""
    lasting: bool = False
    """Whether it is a shell, which is registered though no code of the project runs."""
    stays: bool = False
    """Whether it goes on with this program, and leaves before its end, once for each attachment."""


class Attachment:
    """One use of an environment, until `leave` or the end of the process."""

    def __init__(self, activation: Activation, path: str, member: registry.Member | None, *, found: bool) -> None:
        self.activation = activation
        self.found = found
        """Whether the environment was active already, so that no hook has run here."""
        self._path = path
        self._member = member
        self._owner = os.getpid()

    def leave(self, seconds: float = AT_THE_END) -> None:
        """Detach; where this was the last process, wait until what runs at the end has ended, or for some seconds."""
        member, self._member = self._member, None
        if member is None or os.getpid() != self._owner:  # a copy of the process has no use of its own
            return
        atexit.unregister(self.leave)
        keeper = registry.leave(self._path, member)
        if keeper is not None:
            from esker.host import pidfd

            with keeper.process.opened() as descriptor:
                if descriptor is not None:
                    pidfd.wait(descriptor, seconds)


def attach(
    plan: Plan,
    environ: Mapping[str, str],
    user: User | None = None,
    *,
    add_sbin: bool = False,
    start_services: bool = False,
    waiting: Callable[[int], object] | None = None,
    deadline: Deadline | None = None,
) -> Attachment:
    """Return the activation of a plan in an environment, and register who uses it.

    Where a start of the plan is running its difference is taken over, else this is a start and the hook runs here.
    `waiting` is called with a pid every five seconds while that process runs the hook; `deadline` ends the waiting and
    our own hook with TimedOut. Raises ModeClash when the environment is active in another mode.
    """
    user = user or User()
    runtime = plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"))
    base = composed(plan, environ, runtime, add_sbin=add_sbin, start_services=start_services)
    path = registry.place(runtime)
    member = registry.member(user.pid or os.getpid(), os.urandom(4).hex() if user.stays else "")
    known = is_started(plan, environ)
    joined = registry.Joined(None)
    with _needed(plan):
        if plan.runs_code or user.lasting:
            if not known:
                registry.leave(path, member, unless=plan.identity)  # this very process may have used an earlier plan
            within = is_active(plan, environ)
            joined = _joined(path, plan, member, waiting, deadline or Deadline(), inherited=known, within=within)
        else:
            registry.check_mode(path, plan, member)
    if known:
        recorded = registry.recorded_difference(path, joined.start) if joined.start and plan.runs_code else None
        made = Activation(**recorded["difference"]) if recorded else None
        found = resulting_activation(plan, environ, inherited(plan, environ, base, made))
    else:
        after = _after(plan, base, path, joined, user, deadline)
        found = resulting_activation(plan, environ, after, always=[name for name, _ in plan.vars])
    attached = joined.start is not None
    mine = member if attached and not joined.known else None
    attachment = Attachment(found, path, mine, found=attached and not joined.fresh)
    if user.stays and attached:
        atexit.register(attachment.leave)
    return attachment


def check_outside_hooks(plan: Plan, environ: Mapping[str, str]) -> None:
    """Raise StartWithinHook when this process runs within a hook of the environment.

    A service that is started there would wait for the end of the hook, and the hook for the service.
    """
    path = registry.place(plan.runtime_directory(environ.get("XDG_RUNTIME_DIR")))
    blocker = registry.blocker(path, plan)
    if blocker and blocker[0] in process_table.ancestors(os.getpid(), process_table.table()):
        raise StartWithinHook(
            f"services cannot be started from `{blocker[1]}`, which their start would wait for",
            hook=blocker[1],
            hint="activate with them: esker activate -s, or `services.auto-start` in the manifest",
        )


@contextmanager
def _needed(plan: Plan) -> Iterator[None]:
    """Let an activation go on where the machine cannot note it: only what must run at the end may not be lost."""
    try:
        yield
    except (OSError, HostError) as refusal:
        if plan.on_deactivate is not None:
            reason = refusal.message if isinstance(refusal, HostError) else str(refusal)
            raise HostError(
                f"cannot note who uses `{plan.name}`, and so when to run `hook.on-deactivate`: {reason}",
                hint="set XDG_RUNTIME_DIR to a directory of yours with mode 0700",
            ) from refusal


def _joined(
    path: str,
    plan: Plan,
    member: registry.Member,
    waiting: Callable[[int], object] | None,
    deadline: Deadline,
    *,
    inherited: bool,
    within: bool,
) -> registry.Joined:
    """Join a start; wait for one whose hook another process is running, unless we are `within` it."""
    looks = 0
    while True:
        joined = registry.join(path, plan, member, inherited=inherited)
        if joined.blocker is None:
            if joined.fresh:
                registry.sweep(path)
            return joined
        if within and looks == 0 and joined.blocker in process_table.ancestors(os.getpid(), process_table.table()):
            raise ActivationFailed(
                f"a hook of `{plan.name}` activates it anew, and would wait for itself",
                hint="in a hook the environment is active: run the command as it is",
            )
        if deadline.passed:
            raise TimedOut(f"process {joined.blocker} was still activating `{plan.name}` after {deadline.seconds:g} s")
        looks += 1
        if waiting and looks % _LOOKS == 0:
            waiting(joined.blocker)
        deadline.pause(_PAUSE)


def _after(
    plan: Plan,
    base: Mapping[str, str],
    path: str,
    joined: registry.Joined,
    user: User,
    deadline: Deadline | None,
) -> Mapping[str, str]:
    """Return the environment with the project's own variables, after its hook or the start's."""
    start = joined.start
    if start is None or not plan.runs_code:
        return evaluated(plan, base, deadline=deadline)
    if not joined.fresh:
        recorded = registry.recorded_difference(path, start)
        return evaluated(plan, base, deadline=deadline) if recorded is None else _replayed(recorded, base)
    settled = False
    try:
        after = evaluated(plan, base, deadline=deadline)
        with _needed(plan):
            registry.settle(path, start, _recorded(plan, base, after), _keep(plan, path, start, after, user))
            settled = True
    finally:
        if not settled:
            registry.abandon(path, start)
    return after


def _recorded(plan: Plan, base: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    """Return what others take over: a difference, and what is only set where it is not set yet.

    A variable that the hook exports with the value it has already is in no difference, and is part of the activation.
    """
    made = difference(base, after, [name for name, _ in plan.vars])
    same = [name for name in exported_names(plan.hook or "") if name in after and base.get(name) == after[name]]
    return {"difference": made.record(), "defaults": {name: after[name] for name in same if name not in made.set}}


def _replayed(recorded: Mapping[str, Any], base: Mapping[str, str]) -> dict[str, str]:
    return {**recorded["defaults"], **Activation(**recorded["difference"]).apply(base)}


def _keep(
    plan: Plan, path: str, start: registry.Start, after: Mapping[str, str], user: User
) -> Callable[[], int] | None:
    """Return what begins the watcher.

    A program that stays needs none, unless something has to run even if it is killed.
    """
    given: dict[str, Any] = {
        "path": path,
        "token": start.token,
        "script": plan.on_deactivate,
        "environ": dict(after),
        "log": f"{plan.dot_flox}/log/on-deactivate.log",
    }
    if not user.stays:
        return lambda: background.begin(lambda: watch(**given))
    return (lambda: background.begin_anew(watch, given)) if plan.on_deactivate else None
