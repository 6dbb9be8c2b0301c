"""The programs of one service: its own, its checks and its shutdown command, each started as the service's user.

A service is more than the program that we start for it. The processes below that program, and those that they leave
behind, belong to the service too and are ended with it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ServiceError, ServiceFailed
from esker.host import accounts, process_table
from esker.host.causes import remedy
from esker.host.process import find_program
from esker.host.spawn import Identity, Program, SpawnRefused
from esker.services.status import Killed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.host.process_table import ProcessEntry
    from esker.services.specification import ServiceSpec
    from esker.services.supervised.children import Child, Children
    from esker.services.supervised.logs import LogFile

__all__ = ["Programs", "RunContext"]

_STUBBORN = 10.0
"""Seconds to wait for killed processes to end, before giving up."""
_LAST_WORDS = 500
_NOT_RUN = {errno.ENOENT: 127, errno.ENOTDIR: 127, errno.EACCES: 126, errno.ENOEXEC: 126}


class RunContext(NamedTuple):
    """Where and as whom the programs of a service run."""

    variables: Mapping[str, str]
    directory: str
    identity: Identity | None = None
    user: str = ""
    """The name of the user, for messages."""
    note: str | None = None
    """A note about the identity, for the service's status."""
    lenient: bool = False
    """Whether a service without Esker's table counts as started at once, however it ends: Flox's rule."""


class Programs:
    """Starts and ends the processes of one service."""

    def __init__(self, children: Children, spec: ServiceSpec, context: RunContext, log: LogFile) -> None:
        self._children = children
        self._spec = spec
        self._context = context
        self._log = log
        self._output: int | None = None
        self._main: Child | None = None
        self._deadline = 0.0

    @property
    def _helpers(self) -> str:
        """The owner of checks and shutdown commands, which are not part of the service.

        The NUL keeps it apart from the name of any service.
        """
        return f"\0{self._spec.name}"

    @property
    def main_has_ended(self) -> bool:
        """Whether the program that was started for the service has ended."""
        return self._main is not None and self._main.exit.done()

    def members(self) -> list[ProcessEntry]:
        """Return the living processes of the service."""
        return self._children.of(self._spec.name)

    def start(self, output: int) -> Child:
        """Start the service's own program, with `output` as its output; raises ServiceError."""
        self._output = output
        self._main = self._shell(self._spec.command, output, self._spec.name)
        return self._main

    def _shell(self, command: str, output: int, owner: str) -> Child:
        shell = "bash" if find_program("bash", self._context.variables.get("PATH")) else "sh"
        return self._spawn((shell, "-c", command), output, owner)

    def _spawn(self, words: tuple[str, ...], output: int, owner: str) -> Child:
        _, directory, identity, *_ = self._context
        if identity:
            os.fchown(output, identity.uid, -1)  # so that it may open /dev/stdout
        try:
            return self._children.start(Program(words, self._context.variables, directory, identity), output, owner)
        except SpawnRefused as refused:
            raise ServiceError(str(refused), hint=remedy(refused.number)) from refused

    async def run(self, words: tuple[str, ...]) -> tuple[int, str]:
        """Run a check as the service's user; return its exit status and the last line of its output.

        As in a shell, the status is 127 if the program was not found, and 126 if it cannot be run.
        """
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        output = b""

        def read() -> None:
            nonlocal output
            with suppress(BlockingIOError):
                output = (output + os.read(reading, 1 << 16))[-_LAST_WORDS:]

        loop.add_reader(reading, read)
        child = None
        try:
            try:
                child = self._spawn(words, writing, self._helpers)
            except ServiceError as error:
                number = error.__cause__.number if isinstance(error.__cause__, SpawnRefused) else None
                if number in _NOT_RUN:
                    return _NOT_RUN[number], error.message
                raise
            status = await asyncio.shield(child.exit)
            read()
        finally:
            if child and not child.exit.done():
                self._children.kill(self._children.of(self._helpers))
            loop.remove_reader(reading)
            os.close(reading)
            os.close(writing)
        lines = output.decode(errors="replace").strip().splitlines()
        return status, lines[-1] if lines else ""

    def hurry(self, seconds: float) -> None:
        """Limit the grace of an `end` that is under way to `seconds` from now."""
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + seconds)
        self._children.wake()

    async def end(self, grace: float, shutdown: str | None = None) -> Killed | None:
        """End every process of the service by the `shutdown` command or a signal; kill them after `grace` seconds.

        Returns how it was asked if it was killed. Raises ServiceFailed if a process does not end even then.
        """
        loop = asyncio.get_running_loop()
        begun, killed = loop.time(), None
        self._deadline = begun + grace
        asked = bool(shutdown) and bool(self.members()) and await self._shut_down(shutdown or "")
        signalled: set[int] = set()
        number = signal.Signals[self._spec.stop_signal]
        while members := self.members():
            late = loop.time() - self._deadline
            if late >= _STUBBORN:
                raise self._stubborn(members[0].pid)
            if number != signal.SIGTERM and self.main_has_ended and not self._spec.is_daemon:
                number, asked = signal.SIGTERM, False  # what the program left behind may ignore the special signal
                signalled.clear()
            if late >= 0:
                seconds = round(self._deadline - begun, 1)
                by = None if shutdown and not signalled else number.name
                killed = killed or Killed(service=self._spec.name, signal=by, seconds=seconds)
                self._children.kill(members)
            elif not asked:
                self._children.signal(members, number, signalled)
            await self._children.change(-late if late < 0 else 0.1)
        return killed if killed and killed.seconds else None  # without any grace it was not asked

    def _stubborn(self, pid: int) -> ServiceFailed:
        hint, owner = f"see what it waits for: ps -o user,stat,wchan {pid}", process_table.owner(pid)
        if os.geteuid() and owner is not None and owner != os.geteuid():
            hint = f"it has become a process of {accounts.described(owner)}, who alone can end it: kill {pid}"
        message = f"service `{self._spec.name}` cannot be stopped: pid {pid} does not end when killed"
        return ServiceFailed(message, service=self._spec.name, hint=hint)

    async def _shut_down(self, command: str) -> bool:
        """Run the service's shutdown command; return whether it succeeded before the deadline."""
        if self._output is None:
            return False
        try:
            child = self._shell(command, self._output, self._helpers)
        except ServiceError as error:
            self._log.write(f"esker: the shutdown command was not started: {error.message}\n".encode())
            return False
        loop = asyncio.get_running_loop()
        while not child.exit.done() and (left := self._deadline - loop.time()) > 0:
            await self._children.change(left)
        if not child.exit.done():
            self._children.kill(self._children.of(self._helpers))
            return False
        if status := child.exit.result():
            self._log.write(f"esker: the shutdown command exited with status {status}\n".encode())
        return status == 0
