"""Who uses an environment: its starts that are running, and the processes that are attached to each.

A start is one run of the project's variables and hook; it lasts while a process is attached to it. What is known of
them is one file a user and environment beside its runtime directory, `NAME.activations`: one line of JSON, 0600,
changed under its own flock. A process is known by pid and start time, and counts until it ends or leaves. What a start
has recorded of variables may be secret: it is in `NAME.activations.TOKEN`, 0600, which is removed with the start.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.activate.plan import RUNNING
from esker.errors import ModeClash
from esker.host import process_id, runtime_directory, state_file
from esker.host.process_id import ProcessId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from esker.activate.plan import Plan

__all__ = [
    "WAKE",
    "Joined",
    "Member",
    "Start",
    "abandon",
    "blocker",
    "changing",
    "check_mode",
    "join",
    "leave",
    "member",
    "place",
    "recorded_difference",
    "settle",
    "sweep",
]

WAKE = signal.SIGURG
"""Tells a keeper to look again; who does not listen for it never notices."""
_VERSION = 1


class Member(NamedTuple):
    """A process that uses an environment; the token tells several uses by one process apart."""

    process: ProcessId
    token: str = ""

    def record(self) -> tuple[int, int, str]:
        """Return the use as JSON holds it."""
        return *self.process, self.token

    @classmethod
    def of(cls, record: tuple[int, int, str]) -> Member:
        """Return the use that a record holds."""
        pid, start, token = record
        return cls(ProcessId(pid, start), token)


def member(pid: int, token: str = "") -> Member:
    """Return the use of an environment by a process."""
    return Member(process_id.of(pid), token)


class Start:
    """A start that is running."""

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
        self.identity = identity
        """The plan's: only who would evaluate the same may attach."""
        self.mode = mode
        self.ready = ready
        """Whether the hook has run."""
        self.ends = ends
        """Whether there is something to run when the last process has left."""
        self.keeper = keeper
        """Who runs the hook, as long as that is not done; then who waits for the last process, if somebody does."""
        self.members = list(members)

    def record(self) -> dict[str, Any]:
        """Return the start as JSON holds it."""
        record = {name: getattr(self, name) for name in self.__slots__}
        record["keeper"] = self.keeper and self.keeper.record()
        record["members"] = [one.record() for one in self.members]
        return record

    @classmethod
    def of(cls, record: dict[str, Any]) -> Start:
        """Return the start that a record holds."""
        keeper = record["keeper"] and Member.of(record["keeper"])
        return cls(**record | {"keeper": keeper, "members": map(Member.of, record["members"])})

    def settle(self, keeper: Member | None) -> None:
        """Note that the hook has run, and who waits for the last process."""
        self.keeper, self.ready = keeper, True

    def lives(self) -> bool:
        """Forget the processes that have ended, and return whether anything is left of the start."""
        self.members = [one for one in self.members if one.process.lives]
        if self.ready and self.members:
            return True
        return self.keeper is not None and self.keeper.process.lives and (self.ends or not self.ready)


class Joined(NamedTuple):
    """How a process stands to the start it asked for."""

    start: Start | None
    """The start that it is attached to now."""
    fresh: bool = False
    """Whether that is a new one, whose hook this process has to run."""
    known: bool = False
    """Whether it was attached before."""
    blocker: int | None = None
    """Whom to wait for, and then ask again."""


def place(runtime: str) -> str:
    """Return the path of the file for an environment, given its runtime directory.

    A file that is in another runtime directory of the same user is that one: not every session has XDG_RUNTIME_DIR.
    """
    name, uid = os.path.basename(runtime) + RUNNING, os.geteuid()
    usual = (runtime_directory.user_directory(f"/run/user/{uid}"), runtime_directory.user_directory(None))
    for directory in (os.path.dirname(runtime), *usual):
        with suppress(OSError):
            if os.lstat(f"{directory}/{name}").st_uid == uid:
                return f"{directory}/{name}"
    return f"{os.path.dirname(runtime)}/{name}"


@contextmanager
def changing(path: str, *, make: bool = False, own: bool = True) -> Iterator[list[Start]]:
    """Give the starts that are running, and write what the block has made of them; for all others they are locked.

    Without `make`, a file that is not there stays so. When there are no starts any more it is removed. A file that is
    not our `own` environment's stays as it is when it cannot be read; BlockingIOError when somebody else has it.
    """
    descriptor = _locked(path, make=make, wait=own)
    if descriptor is None:
        yield []
        return
    try:
        found = _parse(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        if found is None and not own:
            yield []
            return
        found = found or []
        starts = [start for start in found if start.lives()]
        yield starts
        starts = [start for start in starts if start.lives()]
        kept = {start.token for start in starts}
        for start in found:
            if start.token not in kept:
                with suppress(FileNotFoundError):
                    os.unlink(f"{path}.{start.token}")
        if starts:
            _write(descriptor, starts)
        else:
            os.unlink(path)
    finally:
        os.close(descriptor)


def join(path: str, plan: Plan, joining: Member, *, inherited: bool) -> Joined:
    """Attach a process to the start of a plan that is running, or to a new one, which is ready when no code runs.

    A process that has inherited the variables of such a start makes no new one, and waits for nobody. Raises
    ModeClash when the environment is active in another mode.
    """
    with changing(path, make=not inherited) as starts:
        _check_mode(plan, starts, joining)
        start = next((start for start in starts if start.identity == plan.identity), None)
        if inherited and not (start and start.members):
            return Joined(None)
        if not inherited:
            busy = _busy(starts, plan)
            if busy is not None and busy.keeper is not None:
                return Joined(None, blocker=busy.keeper.process.pid)
        fresh = start is None
        if start is None:
            start = Start(
                token=os.urandom(8).hex(),
                identity=plan.identity,
                mode=plan.mode,
                ready=not plan.runs_code,
                ends=plan.on_deactivate is not None,
                keeper=member(os.getpid()) if plan.runs_code else None,
                members=(),
            )
            starts.append(start)
        if joining in start.members:
            return Joined(start, known=True)
        start.members.append(joining)
        return Joined(start, fresh)


def blocker(path: str, plan: Plan) -> tuple[int, str] | None:
    """Return the process for which a new start of a plan has to wait, and which hook it runs."""
    with changing(path) as starts:
        busy = _busy(starts, plan)
        if busy is None or busy.keeper is None:
            return None
        return busy.keeper.process.pid, "hook.on-deactivate" if busy.ready else "hook.on-activate"


def _busy(starts: Iterable[Start], plan: Plan) -> Start | None:
    """Return the start that is on its way, or at its end: what runs then comes before anything that a new one does."""
    return next((one for one in starts if not one.members or (one.identity == plan.identity and not one.ready)), None)


def check_mode(path: str, plan: Plan, joining: Member) -> None:
    """Raise ModeClash when the environment is active in another mode than the plan's."""
    with changing(path) as starts:
        _check_mode(plan, starts, joining)


def _check_mode(plan: Plan, starts: Iterable[Start], joining: Member) -> None:
    pids = {one.process.pid for start in starts if start.mode != plan.mode for one in start.members}
    others = sorted(pids - {joining.process.pid})  # whoever is attached already moves, if nobody else is
    if others:
        other = "run" if plan.mode == "dev" else "dev"
        existing = f"whilst there are existing activations in '{other}' mode"
        message = f"Environment can't be activated in '{plan.mode}' mode {existing}"
        running = f"PIDs of the running activations: {', '.join(map(str, others))}"
        hint = f"Exit all activations of the environment and try again.\n{running}"
        raise ModeClash(message, pids=others, hint=hint)


def settle(path: str, start: Start, recorded: dict[str, Any], keep: Callable[[], int] | None = None) -> None:
    """Say that the hook of a start has run, and what newcomers are to take over.

    `keep` begins a process that waits for the last one to leave, and returns its pid.
    """
    with changing(path) as starts:
        own = next((one for one in starts if one.token == start.token), None)
        if own is None:  # somebody has removed the file: nobody will attach
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(f"{path}.{start.token}", flags, 0o600), "w", encoding="ascii") as file:
            json.dump(recorded, file)
        own.settle(member(keep()) if keep else None)


def recorded_difference(path: str, start: Start) -> dict[str, Any] | None:
    """Return what `settle` has recorded of a start, or None where that cannot be read any more."""
    return state_file.read(f"{path}.{start.token}")


def leave(path: str, leaving: Member, *, unless: str | None = None) -> Member | None:
    """Detach a process before its end; return who finishes the start that it was the last of, if somebody does.

    `unless` is the identity of a plan whose start it does not leave.
    """
    with changing(path) as starts:
        start = next((one for one in starts if leaving in one.members and one.identity != unless), None)
        if start is not None:
            start.members.remove(leaving)
    if start is None or start.keeper is None or not start.ready:
        return None
    with suppress(ProcessLookupError):
        os.kill(start.keeper.process.pid, WAKE)
    return None if start.members else start.keeper


def abandon(path: str, start: Start) -> None:
    """Remove a start: its hook has failed, or all that was to run at its end has run."""
    with changing(path) as starts:
        starts[:] = [one for one in starts if one.token != start.token]


def sweep(path: str) -> None:
    """Remove what processes of other environments have left beside the file at `path`."""
    directory, own = os.path.split(path)
    for name in os.listdir(directory):
        environment, mark, token = name.partition(RUNNING)
        with suppress(OSError):
            if token and not os.path.lexists(f"{directory}/{environment}{mark}"):
                os.unlink(f"{directory}/{name}")
            elif mark and not token and name != own:
                with changing(f"{directory}/{name}", own=False):
                    pass


def _locked(path: str, *, make: bool, wait: bool) -> int | None:
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
                os.close(descriptor)  # in a runtime directory that somebody else has made, and whose lock might be held
                return None
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # removed, or made anew, while we waited
                if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _parse(text: bytes) -> list[Start] | None:
    """Return the starts that a file holds, none of an earlier boot; None when it is damaged or of another version."""
    record = state_file.parse(text.partition(b"\n")[0])
    if record is None or record.get("version") != _VERSION:
        return None
    try:
        return [Start.of(start) for start in record["starts"]] if record["boot"] == process_id.boot_id() else []
    except (ValueError, KeyError, TypeError):
        return None


def _write(descriptor: int, starts: list[Start]) -> None:
    """Write in place, since the lock is on the file: a line is read up to its end, whatever is left behind it."""
    found = {"version": _VERSION, "boot": process_id.boot_id(), "starts": [start.record() for start in starts]}
    size = os.pwrite(descriptor, json.dumps(found).encode("ascii") + b"\n", 0)
    os.ftruncate(descriptor, size)
