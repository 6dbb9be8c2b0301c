"""Attaching: the first process that activates an environment runs its hook; the others take over its changes.

A later process takes over the difference that the project's own variables and hook have made. It applies this
difference to its own variables. The environment's directories and ports are not part of it: each process works them
out anew.
"""

from __future__ import annotations

import atexit
import os

from esker.activate.composition import (
    composed,
    evaluated,
    inherited_environment,
    is_active,
    is_started,
    resulting_activation,
    with_temporary,
)
from esker.activate.difference import Activation, difference
from esker.activate.starts import registry
from esker.activate.starts.start import member_of
from esker.activate.starts.watcher import watch
from esker.host import background, process_table, runtime_directory, temporary
from esker.host.clock import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import contextmanager
    from typing import Any, NamedTuple

    from esker.activate.plan import Plan
    from esker.activate.starts.start import Member, Start
else:
    from esker.host.context import contextmanager
    from esker.host.named_tuple import NamedTuple

__all__ = ["Attachment", "Participant", "attach", "check_outside_hooks"]

AT_THE_END = 10.0
"""Seconds that a program waits for `hook.on-deactivate` when it leaves as the last process."""
_PAUSE = 0.05
"""Seconds between two checks whether another process's hook has ended."""
_LOOKS = 100
"""The caller is told of the waiting after every so many checks."""


class Participant(NamedTuple):
    """The process that is going to use an environment."""

    pid: int | None = None
    """None means this process."""
    lasting: bool = False
    """Whether to register the process even if the environment runs no code of the project, as for a shell."""
    stays: bool = False
    """Whether the process goes on running this program after it has attached, and will call `leave` itself.

    Such a process can attach several times, and then leaves once for each attachment."""
    anew: bool = False
    """Whether to begin a new start, and to run the hook, even if a start is running."""


class Attachment:
    """One use of an environment by a process, which ends with `leave` or with the process."""

    def __init__(
        self,
        activation: Activation,
        plan: Plan,
        path: str,
        member: Member | None,
        *,
        found: bool = False,
        outruns: bool = False,
    ) -> None:
        self.activation = activation
        self.found = found
        """Whether the process attached to a start that was running already, so that no hook ran here."""
        self.outruns = outruns
        """Whether a hook ran here because services run that were started before the project was edited."""
        self._plan = plan
        self._path = path
        self._member = member
        self._owner = os.getpid()

    def share(self, pid: int) -> Callable[[], object]:
        """Attach the process that runs the environment's services too, for as long as it lives.

        Whoever activates the environment meanwhile attaches as well, so that the hook does not run beside the services.
        Return a function to call when the services have started: it waits for the watcher that this begins.
        """
        plan, path, unwatched = self._plan, self._path, None
        if plan.has_starts:
            with _needed(plan, path):
                unwatched = registry.share(path, plan, pid)
        if unwatched is None:
            return lambda: None
        # Such a start has no `hook.on-deactivate`, for which the variables would be needed.
        recorded = registry.recorded_difference(path, unwatched) or {}
        watching = _watching(plan, path, unwatched.token, {}, recorded.get("temporary"))
        begun = background.beginning_anew(watch, watching)
        return lambda: registry.watch_over(path, unwatched, begun())

    def leave(self, seconds: float = AT_THE_END) -> None:
        """Detach from the start; after the last process, wait at most `seconds` for `hook.on-deactivate` to end."""
        member, self._member = self._member, None
        if member is None or os.getpid() != self._owner:  # a forked child inherits this object, but is not registered
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
    participant: Participant | None = None,
    *,
    add_sbin: bool = False,
    start_services: bool = False,
    waiting: Callable[[int], object] | None = None,
    deadline: Deadline | None = None,
) -> Attachment:
    """Return the activation of a plan in `environ`, and register the process that uses it.

    If a start of the plan is running, this takes over its changes. Otherwise it begins a new start, and the hook runs
    here. While another process runs the hook, `waiting` is called with the pid of that process every five seconds.
    Raises TimedOut when `deadline` passes while another process's hook or our own is running, and ModeClash if the
    environment is active in another mode.
    """
    participant = participant or Participant()
    runtime = plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"))
    base = composed(plan, environ, runtime, add_sbin=add_sbin, start_services=start_services)
    path = registry.registry_path(runtime)
    member = member_of(participant.pid or os.getpid(), os.urandom(4).hex() if participant.stays else "")
    has_inherited = is_started(plan, environ) and not participant.anew
    joined = registry.Joined(None)
    with _needed(plan, path):
        if plan.has_starts or participant.lasting:
            if not has_inherited:
                # This process may be attached to a start of an earlier plan, from before the project was edited.
                registry.leave(path, member, unless=plan.identity)
            within = is_active(plan, environ)

            def join() -> registry.Joined:
                return registry.join(path, plan, member, inherited=has_inherited, anew=participant.anew)

            joined = _joined(join, path, plan, waiting, deadline or Deadline(), within=within)
        else:
            registry.check_mode(path, plan, member)
    if has_inherited:
        recorded = registry.recorded_difference(path, joined.start) if joined.start and plan.has_starts else None
        own_changes = Activation(**recorded["difference"]) if recorded else None
        inherited = inherited_environment(plan, environ, base, own_changes)
        activation = resulting_activation(plan, environ, inherited, left=recorded.get("left") if recorded else None)
    else:
        left: dict[str, str] = {}
        after = _after(plan, base, path, joined, participant, deadline, left)
        activation = resulting_activation(plan, environ, after, always=[name for name, _ in plan.vars], left=left)
    attached = joined.start is not None
    # Whoever attached this process before will also detach it.
    member_to_detach = member if attached and not joined.known else None
    found = attached and not joined.fresh
    attachment = Attachment(activation, plan, path, member_to_detach, found=found, outruns=joined.outruns)
    if participant.stays and attached:
        atexit.register(attachment.leave)
    return attachment


def check_outside_hooks(plan: Plan, environ: Mapping[str, str]) -> None:
    """Raise StartWithinHook if this process runs within a hook of the environment.

    If a hook started services, the services would wait for the end of the hook, and the hook for the services.
    """
    path = registry.registry_path(plan.runtime_directory(environ.get("XDG_RUNTIME_DIR")))
    blocker = registry.hook_to_wait_for(path, plan)
    if blocker and blocker[0] in process_table.ancestors(os.getpid(), process_table.table()):
        from esker.errors import StartWithinHook

        raise StartWithinHook(
            f"services cannot be started from `{blocker[1]}`, because they would wait until it has ended",
            hook=blocker[1],
            hint="start them when you activate: esker activate -s, or `services.auto-start` in the manifest",
        )


@contextmanager
def _needed(plan: Plan, path: str) -> Iterator[None]:
    """Let an activation go on if the registry at `path` cannot be written.

    Raises HostError if the plan needs it for `hook.on-deactivate`.
    """
    try:
        yield
    except Exception as refusal:
        from esker.errors import HostError  # here, because building its classes takes 1 ms

        if not isinstance(refusal, (OSError, HostError)):
            raise
        if plan.on_deactivate is not None:
            cause = runtime_directory.refused(path, refusal) if isinstance(refusal, OSError) else refusal
            raise HostError(
                f"cannot record which processes use `{plan.name}`, so `hook.on-deactivate` would never run: "
                f"{cause.message}",
                hint=cause.hint,
            ) from refusal


def _joined(
    join: Callable[[], registry.Joined],
    path: str,
    plan: Plan,
    waiting: Callable[[int], object] | None,
    deadline: Deadline,
    *,
    within: bool,
) -> registry.Joined:
    """Call `join`, again and again while another process is running a hook of the environment.

    `within` says that the environment is active in this process. Then the hook may be running above this process, and
    this raises ActivationFailed instead of waiting for ever. Raises TimedOut after the deadline.
    """
    looks = 0
    while True:
        joined = join()
        if joined.blocker is None:
            if joined.fresh:
                registry.sweep(path)
            return joined
        if within and looks == 0 and joined.blocker in process_table.ancestors(os.getpid(), process_table.table()):
            from esker.errors import ActivationFailed

            raise ActivationFailed(
                f"a hook of `{plan.name}` activates the same environment again, and would wait for itself for ever",
                hint="the environment is active in the hook already: run the command without `activate`",
            )
        if deadline.passed:
            from esker.errors import TimedOut

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
    participant: Participant,
    deadline: Deadline | None,
    left: dict[str, str],
) -> Mapping[str, str]:
    """Return the environment with the project's own variables and the changes that its hook makes.

    The hook runs here if the start is fresh. Otherwise this takes the changes that the start has recorded. What shells
    take over besides is put into `left`.
    """
    start = joined.start
    if start is None or not plan.has_starts:
        return evaluated(plan, base, deadline=deadline, left=left)
    if not joined.fresh:
        recorded = registry.recorded_difference(path, start)
        if recorded is None:
            return evaluated(plan, base, deadline=deadline, left=left)
        left.update(recorded.get("left", {}))
        return _replayed(recorded, base)
    settled = False
    directory = temporary.make(base.get("TMPDIR")) if plan.has_temporary else None
    try:
        after = evaluated(plan, with_temporary(base, directory), deadline=deadline, left=left)
        with _needed(plan, path):
            recorded = {**_recorded(plan, base, after), "left": left, "temporary": directory}
            registry.settle(path, start, recorded, _keep(plan, path, start, after, participant, directory))
            settled = True
    finally:
        if not settled:
            registry.remove_start(path, start)
            if directory is not None:
                temporary.remove(directory)
    return after


def _recorded(plan: Plan, base: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    """Return what later processes take over: a difference, and defaults for variables that they do not have.

    The hook may export a variable with the value that it has already. It is then in no difference, but a later process
    that lacks the variable needs it all the same: such variables are the defaults.
    """
    from esker.activate.hook import exported_names

    changes = difference(base, after, [name for name, _ in plan.vars])
    same = [name for name in exported_names(plan.hook or "") if name in after and base.get(name) == after[name]]
    return {"difference": changes.record(), "defaults": {name: after[name] for name in same if name not in changes.set}}


def _replayed(recorded: Mapping[str, Any], base: Mapping[str, str]) -> dict[str, str]:
    return {**recorded["defaults"], **Activation(**recorded["difference"]).apply(base)}


def _keep(
    plan: Plan,
    path: str,
    start: Start,
    after: Mapping[str, str],
    participant: Participant,
    directory: str | None,
) -> Callable[[], int] | None:
    """Return a function that begins the watcher and returns its pid, or None if the start needs no watcher.

    A program that stays detaches by itself, so it needs a watcher only for `hook.on-deactivate` and for the `directory`
    of temporary files, which has to be removed: both even if the program is killed.
    """
    arguments = _watching(plan, path, start.token, after, directory)
    if not participant.stays:
        return lambda: background.begin(lambda: watch(**arguments))
    # This program may have threads, so a fork that goes on in Python is not safe: a new interpreter is started.
    return (lambda: background.begin_anew(watch, arguments)) if plan.on_deactivate or directory else None


def _watching(plan: Plan, path: str, token: str, after: Mapping[str, str], directory: str | None) -> dict[str, Any]:
    """Return the arguments of `watch` for a start of a plan."""
    return {
        "path": path,
        "token": token,
        "script": plan.on_deactivate,
        "environ": dict(after),
        "log": f"{plan.dot_flox}/log/on-deactivate.log",
        "directory": directory,
    }
