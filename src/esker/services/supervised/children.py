"""The processes below the supervisor: starting them, finding the service they belong to, and ending them.

The supervisor is a subreaper, so every process that a service leaves behind becomes its child. We find the service of
such an orphan by what the orphan inherited: its session, its last known parent, a variable of its environment, or the
pipe that it writes to.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import NamedTuple

from esker.host import process_id
from esker.host.process_id import ProcessId
from esker.host.process_table import ProcessEntry, environment, family
from esker.host.spawn import Program, spawn

__all__ = ["SERVICE_VARIABLE", "Child", "Children"]

SERVICE_VARIABLE = "ESKER_SERVICE"
"""The variable that holds the name of the service a process belongs to."""


class Child(NamedTuple):
    """A program that the supervisor started."""

    process: ProcessId
    exit: asyncio.Future[int]
    """Its exit status, or minus the number of the signal that ended it."""


class Children:
    """All processes below this one, which must be a subreaper, by owner: the name of a service, or any other text."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._sessions: dict[int, str] = {}
        self._owners: dict[ProcessId, str] = {}
        self._outputs: dict[str, str] = {}
        self._reaped = asyncio.Event()
        loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def start(self, program: Program, output: int, owner: str) -> Child:
        """Start a program for `owner`; raises SpawnRefused."""
        pid = spawn(program, output)
        self._sessions[pid] = owner
        self._outputs[owner] = f"pipe:[{os.fstat(output).st_ino}]"
        process = process_id.of(pid)  # it exists, at least as a zombie, as long as we have not waited for it
        self._owners[process] = owner
        return Child(process, self.exit_of(pid))

    def exit_of(self, pid: int) -> asyncio.Future[int]:
        """Return the future exit status of a child, which may also be an adopted one."""
        return self._exits.setdefault(pid, self._loop.create_future())

    def reap(self) -> None:
        """Collect the exit status of every child that has ended."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                waiting = self._exits.pop(pid, None)
                if waiting and not waiting.done():
                    waiting.set_result(os.waitstatus_to_exitcode(status))
        self._reaped.set()

    async def change(self, seconds: float) -> None:
        """Wait until a child has ended or `wake` is called, for at most `seconds`."""
        self._reaped.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._reaped.wait()

    def wake(self) -> None:
        """Make every `change` return now."""
        self._reaped.set()

    def all(self) -> list[tuple[ProcessEntry, str | None]]:
        """Return every living process below this one with its owner, or None if we do not know it."""
        processes = family(os.getpid())
        owners: dict[ProcessId, str] = {}
        living: list[tuple[ProcessEntry, str | None]] = []
        for member in processes.values():
            key = ProcessId(member.pid, member.start)
            parent = processes.get(member.parent)
            owner = self._sessions.get(member.session) or self._owners.get(key)
            if owner is None and parent is not None:
                owner = owners.get(ProcessId(parent.pid, parent.start))
            if owner is None:
                owner = self._owner_of_orphan(member.pid)
            if owner is not None:
                owners[key] = owner
            if not member.ended:
                living.append((member, owner))
        self._owners = owners
        sessions = {member.session for member in processes.values()}
        self._sessions = {session: owner for session, owner in self._sessions.items() if session in sessions}
        return living

    def _owner_of_orphan(self, pid: int) -> str | None:
        if named := environment(pid).get(SERVICE_VARIABLE.encode()):
            return os.fsdecode(named)
        for descriptor in (1, 2):
            with suppress(OSError):
                output = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                for owner, pipe in self._outputs.items():
                    if pipe == output:
                        return owner
        return None

    def known(self) -> list[ProcessId]:
        """Return the processes whose owner the last call of `all` knew, and those started since."""
        return sorted(self._owners)

    def of(self, owner: str) -> list[ProcessEntry]:
        """Return the living processes of `owner`, parents before their children."""
        # The table may miss a process that gets another parent at that moment, so we believe only two empty results.
        for _ in range(2):
            if members := [member for member, its_owner in self.all() if its_owner == owner]:
                return members
        return []

    @staticmethod
    def signal(members: list[ProcessEntry], number: int, signalled: set[int]) -> None:
        """Send a signal to the process group of each of `members` that is our child.

        `signalled` has the groups that already got it; they get no second one, and new ones are added.
        """
        groups = {member.group for member in members if member.parent == os.getpid()} - signalled
        signalled |= groups
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)

    @staticmethod
    def kill(members: list[ProcessEntry]) -> None:
        """Kill each of `members`; one that has become another user's, as by `sudo`, is left."""
        for member in members:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(member.pid, signal.SIGKILL)
