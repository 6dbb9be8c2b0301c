"""The registry of an environment: its running starts, and the processes that are attached to each.

Each user has one registry file for each environment, `NAME.activations`, beside the environment's runtime directory.
It is one line of JSON with mode 0600, and whoever changes it holds a flock on it. It names a process by pid and start
time. The process counts as attached until it ends or leaves.

The variables that a start has changed may be secret. They are in a file of their own, `NAME.activations.TOKEN`, with
mode 0600, which is removed with the start.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` builds enumerations, which takes 1 ms
import fcntl
import os

from esker.activate.plan import RUNNING
from esker.activate.starts.start import SERVICES, Member, Start, member_of
from esker.formats import json_text
from esker.host import pidfd, process_id, runtime_directory, state_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import contextmanager, suppress
    from typing import Any, NamedTuple

    from esker.activate.plan import Plan
else:
    from esker.host.context import contextmanager, suppress
    from esker.host.named_tuple import NamedTuple

__all__ = [
    "WAKE",
    "Joined",
    "check_mode",
    "hook_to_wait_for",
    "join",
    "leave",
    "locked_starts",
    "recorded_difference",
    "registry_path",
    "remove_start",
    "settle",
    "share",
    "sweep",
    "watch_over",
]

WAKE: int = _signal.SIGURG
"""The signal that tells a start's keeper to read the registry again; a process without a handler ignores it."""
_VERSION = 1


class Joined(NamedTuple):
    """The answer to a process that asks to join a start."""

    start: Start | None
    """The start that the process is attached to now; None if it is attached to no start."""
    fresh: bool = False
    """Whether this process has made the start; if the plan runs code, the process has to run it now."""
    known: bool = False
    """Whether the process was attached to this start before it asked."""
    blocker: int | None = None
    """The pid of a process that is running a hook: wait for it, then ask again."""
    outruns: bool = False
    """Whether this process has made the start although services run, because they belong to an earlier plan."""


def registry_path(runtime: str) -> str:
    """Return the path of an environment's registry file, given the environment's runtime directory.

    Some sessions of a user have XDG_RUNTIME_DIR and others do not, and all of them must share one registry. So a file
    that exists already in any runtime directory of this user is taken.
    """
    name, uid = os.path.basename(runtime) + RUNNING, os.geteuid()
    usual = (runtime_directory.user_directory(f"/run/user/{uid}"), runtime_directory.user_directory(None))
    for directory in (os.path.dirname(runtime), *usual):
        with suppress(OSError):
            if os.lstat(f"{directory}/{name}").st_uid == uid:
                return f"{directory}/{name}"
    return f"{os.path.dirname(runtime)}/{name}"


@contextmanager
def locked_starts(path: str, *, make: bool = False, own: bool = True) -> Iterator[list[Start]]:
    """Yield the running starts as a list, and write the list back as the block has left it.

    Other processes can neither read nor change the registry during the block; if the block raises, nothing is written.
    With `make`, a missing file is created; without it, the list is empty and nothing is written. A file without running
    starts is removed, and so are the files of starts that have ended. A damaged file counts as empty.

    Pass `own=False` for the registry of another environment: a damaged file then stays as it is, and if another process
    has locked the file, this raises BlockingIOError instead of waiting.
    """
    descriptor = _locked(path, make=make, wait=own)
    if descriptor is None:
        yield []
        return
    try:
        recorded = _parse(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        if recorded is None and not own:
            yield []
            return
        recorded = recorded or []
        starts = [start for start in recorded if start.prune()]
        yield starts
        starts = [start for start in starts if start.prune()]
        tokens = {start.token for start in starts}
        for start in recorded:
            if start.token not in tokens:
                with suppress(FileNotFoundError):
                    os.unlink(f"{path}.{start.token}")
        if starts:
            _write(descriptor, starts)
        else:
            os.unlink(path)
    finally:
        os.close(descriptor)


def join(path: str, plan: Plan, joining: Member, *, inherited: bool, anew: bool = False) -> Joined:
    """Attach a process to the running start of a plan, or make a new start and attach it to that.

    If the plan needs no start, a new one is ready at once. `inherited` says that the process has inherited the
    variables of a start of this plan: then it attaches to that start, or to none if it is over, and never has to wait.
    With `anew` the process makes a new start in any case, and later processes attach to that one.
    Raises ModeClash if another process uses the environment in another mode.
    """
    with locked_starts(path, make=not inherited) as starts:
        _check_mode(plan, starts, joining)
        start = None if anew else _latest(starts, plan)
        if inherited and not (start and start.members):
            return Joined(None)
        if not inherited:
            busy = _busy(starts, plan)
            if busy is not None and busy.keeper is not None:
                return Joined(None, blocker=busy.keeper.process.pid)
        fresh = start is None
        outruns = fresh and not anew and any(_is_earlier(other, plan) and other.has_services for other in starts)
        if start is None:
            start = Start(
                token=os.urandom(8).hex(),
                identity=plan.identity,
                mode=plan.mode,
                ready=not plan.has_starts,
                ends=plan.on_deactivate is not None,
                keeper=member_of(os.getpid()) if plan.has_starts else None,
                members=(),
            )
            starts.append(start)
        if joining in start.members:
            return Joined(start, known=True)
        start.members.append(joining)
        return Joined(start, fresh, outruns=outruns)


def _latest(starts: list[Start], plan: Plan) -> Start | None:
    """Return the start of a plan that was made last, or None if there is none."""
    return next((start for start in reversed(starts) if start.identity == plan.identity), None)


def _is_earlier(start: Start, plan: Plan) -> bool:
    """Return whether a start is one of an earlier plan, from before the project was edited."""
    return start.identity != plan.identity and start.mode == plan.mode


def share(path: str, plan: Plan, pid: int) -> Start | None:
    """Attach the process that runs the services to the running start of a plan; do nothing if none runs.

    It leaves the starts of earlier plans, unless `hook.on-deactivate` would then run beside the services. Return the
    start if it has no watcher: it needs one now, because this process does not know that it has to leave.
    """
    with locked_starts(path) as starts:
        start = _latest(starts, plan)
        services = member_of(pid, SERVICES)
        if start is None or not (start.ready and start.members) or services in start.members:
            return None
        for other in starts:
            if _is_earlier(other, plan) and not other.ends and services in other.members:
                other.members.remove(services)
        start.members.append(services)
        return start if start.keeper is None else None


def watch_over(path: str, start: Start, watcher: int) -> None:
    """Note the pid of the watcher of a start that had none."""
    with locked_starts(path) as starts:
        for own in starts:
            if own.token == start.token:
                own.mark_ready(member_of(watcher))


def hook_to_wait_for(path: str, plan: Plan) -> tuple[int, str] | None:
    """Return the pid of the process that a new start of a plan has to wait for, and the name of the hook it runs.

    Return None if a new start need not wait.
    """
    with locked_starts(path) as starts:
        busy = _busy(starts, plan)
        if busy is None or busy.keeper is None:
            return None
        return busy.keeper.process.pid, "hook.on-deactivate" if busy.ready else "hook.on-activate"


def _busy(starts: Iterable[Start], plan: Plan) -> Start | None:
    """Return a start whose hook is running now, so that a new start of the plan has to wait for it.

    That is a start of the same plan whose hook has not ended, or any start that no process is attached to: it still has
    `hook.on-deactivate` to run.
    """
    for start in starts:
        if not start.members or (start.identity == plan.identity and not start.ready):
            return start
    return None


def check_mode(path: str, plan: Plan, joining: Member) -> None:
    """Raise ModeClash if another process uses the environment in another mode than the plan's."""
    with locked_starts(path) as starts:
        _check_mode(plan, starts, joining)


def _check_mode(plan: Plan, starts: Iterable[Start], joining: Member) -> None:
    clashing = (start for start in starts if start.mode != plan.mode)
    pids = {use.process.pid for start in clashing for use in start.members if use.token != SERVICES}
    others = sorted(pids - {joining.process.pid})  # a process that is alone in the other mode may change to this one
    if others:
        from esker.errors import ModeClash

        other = "run" if plan.mode == "dev" else "dev"
        existing = f"whilst there are existing activations in '{other}' mode"
        message = f"Environment can't be activated in '{plan.mode}' mode {existing}"
        running = f"PIDs of the running activations: {', '.join(map(str, others))}"
        hint = f"Exit all activations of the environment and try again.\n{running}"
        raise ModeClash(message, pids=others, hint=hint)


def settle(path: str, start: Start, changes: dict[str, Any], start_watcher: Callable[[], int] | None = None) -> None:
    """Note that the hook of a start has run, and record the `changes` that later processes take over from it.

    `start_watcher` starts the process that waits until the last process has left, and returns its pid.
    """
    with locked_starts(path) as starts:
        own = next((candidate for candidate in starts if candidate.token == start.token), None)
        if own is None:  # somebody has removed the file, so no process can attach to this start
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(f"{path}.{start.token}", flags, 0o600), "w", encoding="utf-8") as file:
            file.write(json_text.render(changes))
        own.mark_ready(member_of(start_watcher()) if start_watcher else None)


def recorded_difference(path: str, start: Start) -> dict[str, Any] | None:
    """Return what `settle` has recorded for a start, or None if that cannot be read any more."""
    return state_file.read(f"{path}.{start.token}")


def leave(path: str, leaving: Member, *, unless: str | None = None) -> Member | None:
    """Detach a process, which goes on running, from its start.

    If it was the last process, return the watcher that now finishes the start; None if there is none, or if other
    processes are still attached.
    `unless` is the identity of a plan: a process that is attached to a start of this plan stays attached.
    """
    with locked_starts(path) as starts:
        start = next(
            (candidate for candidate in starts if leaving in candidate.members and candidate.identity != unless), None
        )
        if start is not None:
            start.members.remove(leaving)
    if start is None or start.keeper is None or not start.ready:
        return None
    with start.keeper.process.opened() as keeper:  # never another process that has its pid by now
        if keeper is not None:
            pidfd.send(keeper, WAKE)
    return None if start.members else start.keeper


def remove_start(path: str, start: Start) -> None:
    """Remove a start, because its hook has failed or because `hook.on-deactivate` has run."""
    with locked_starts(path) as starts:
        starts[:] = [other for other in starts if other.token != start.token]


def sweep(path: str) -> None:
    """Remove the files beside `path` that starts of any environment have left behind.

    A process that is killed leaves its files behind, and nobody may ever use its environment again.
    """
    directory, own = os.path.split(path)
    for name in os.listdir(directory):
        environment, mark, token = name.partition(RUNNING)
        with suppress(OSError):
            if token and not os.path.lexists(f"{directory}/{environment}{mark}"):
                os.unlink(f"{directory}/{name}")
            elif mark and not token and name != own:
                with locked_starts(f"{directory}/{name}", own=False):
                    pass


def _locked(path: str, *, make: bool, wait: bool) -> int | None:
    """Open and lock a registry file; return None if it is missing, unreadable or another user's.

    A file that we may `make` lies in a runtime directory that `make_user` has checked, so that its owner is known.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if make else 0)
    if make:
        runtime_directory.make_user(os.path.dirname(path))
    while True:
        try:
            descriptor = os.open(path, flags, 0o600)
        except (FileNotFoundError, PermissionError):
            if make:
                raise
            return None
        try:
            if not make and os.fstat(descriptor).st_uid != os.geteuid():
                # Another user has made this runtime directory, and could hold the lock for ever.
                os.close(descriptor)
                return None
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            # While we waited for the lock, the file may have been removed or made anew: then open it again.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _parse(text: bytes) -> list[Start] | None:
    """Return the starts in the text of a registry file, or None if it is damaged or of another version.

    Starts from before the last boot are left out, because pids mean nothing after it.
    """
    record = state_file.parse(text.partition(b"\n")[0]) if text else None  # a new file is empty
    if record is None or record.get("version") != _VERSION:
        return None
    try:
        return [Start.of(start) for start in record["starts"]] if record["boot"] == process_id.boot_id() else []
    except (ValueError, KeyError, TypeError):
        return None


def _write(descriptor: int, starts: list[Start]) -> None:
    """Write the starts into the open file.

    A rename would put another file in its place, while the lock is on this one. A reader stops at the end of the first
    line, so if we are killed before the file is cut, the remains of a longer text do no harm.
    """
    record = {"version": _VERSION, "boot": process_id.boot_id(), "starts": [start.record() for start in starts]}
    size = os.pwrite(descriptor, json_text.render(record).encode("ascii") + b"\n", 0)
    os.ftruncate(descriptor, size)
