"""The processes below the supervisor: started or adopted, known by the service they belong to, and ended.

A supervisor is a subreaper, so whatever a service leaves behind becomes its child. To whom such an orphan belongs is
told by what it had from its parents: the parent while that lived, the session, a variable of its environment, or the
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
from esker.host.process_table import Entry, environment, family
from esker.host.spawn import Program, spawn

__all__ = ["SERVICE_VARIABLE", "Child", "Children"]

SERVICE_VARIABLE = "ESKER_SERVICE"
"""Names the service that a process belongs to, to that process and to the supervisor."""


class Child(NamedTuple):
    """A program that was started."""

    process: ProcessId
    exit: asyncio.Future[int]
    """Its exit status; minus the number of the signal that ended it."""


class Children:
    """All processes below this one, which is a subreaper; an owner is the name of a service, or any other text."""

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
        process = process_id.of(pid)  # a child that nobody has waited for is there, if only as a zombie
        self._owners[process] = owner
        return Child(process, self.exit_of(pid))

    def exit_of(self, pid: int) -> asyncio.Future[int]:
        """Return the future exit status of the child `pid`, adopted ones too."""
        return self._exits.setdefault(pid, self._loop.create_future())

    def reap(self) -> None:
        """Take the exit status of every child that has ended."""
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
        """Wait until a child has ended, for `seconds` at most."""
        self._reaped.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._reaped.wait()

    def wake(self) -> None:
        """End every `change` now."""
        self._reaped.set()

    def all(self) -> list[tuple[Entry, str | None]]:
        """Return every living process below this one with its owner, None where that is not known."""
        processes = family(os.getpid())
        owners: dict[ProcessId, str] = {}
        found: list[tuple[Entry, str | None]] = []
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
                found.append((member, owner))
        self._owners = owners
        sessions = {member.session for member in processes.values()}
        self._sessions = {session: owner for session, owner in self._sessions.items() if session in sessions}
        return found

    def _owner_of_orphan(self, pid: int) -> str | None:
        if named := environment(pid).get(SERVICE_VARIABLE.encode()):
            return os.fsdecode(named)
        for descriptor in (1, 2):
            with suppress(OSError):
                output = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                for owner, theirs in self._outputs.items():
                    if theirs == output:
                        return owner
        return None

    def known(self) -> list[ProcessId]:
        """Return what was started or found, as of the last look."""
        return sorted(self._owners)

    def of(self, owner: str) -> list[Entry]:
        """Return the living processes of `owner`, parents before their children."""
        # A process that was given another parent at that moment may have been missed, so nothing is looked for twice.
        for _ in range(2):
            if members := [member for member, whose in self.all() if whose == owner]:
                return members
        return []

    @staticmethod
    def signal(members: list[Entry], number: int, told: set[int]) -> None:
        """Send `number` once to the group of each of `members` that is a child of this process; `told` remembers."""
        groups = {member.group for member in members if member.parent == os.getpid()} - told
        told |= groups
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)

    @staticmethod
    def kill(members: list[Entry]) -> None:
        """Kill each of `members`."""
        for member in members:
            with suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
