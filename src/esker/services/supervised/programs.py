"""The programs of one service: its own, its checks and its shutdown command, each started as the service's user.

A service is more than the program that was started for it: everything below that, and whatever it has left behind, is
ended with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ServiceError, ServiceFailed
from esker.host.process import find_program
from esker.host.spawn import REMEDIES, Identity, Program, SpawnRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.host.process_table import Entry
    from esker.services.specification import ServiceSpec
    from esker.services.supervised.children import Child, Children
    from esker.services.supervised.logs import LogFile

__all__ = ["Programs", "Setting"]

_STUBBORN = 10.0
"""Seconds to wait for killed processes to be gone."""
_LAST_WORDS = 500


class Setting(NamedTuple):
    """Where and as whom the programs of a service run."""

    variables: Mapping[str, str]
    directory: str
    identity: Identity | None = None
    user: str = ""
    """The name of that user, for people."""
    note: str | None = None
    """What people should know about the identity."""


class Programs:
    """The processes of one service, as far as the supervisor knows them."""

    def __init__(self, children: Children, spec: ServiceSpec, setting: Setting, log: LogFile) -> None:
        self._children = children
        self._spec = spec
        self._setting = setting
        self._log = log
        self._output: int | None = None
        self._main: Child | None = None
        self._deadline = 0.0

    @property
    def _helpers(self) -> str:
        """The owner of checks and shutdown commands: not the service, which they are no part of."""
        return f"\0{self._spec.name}"

    @property
    def main_has_ended(self) -> bool:
        """Whether the program that was started for the service has ended."""
        return self._main is not None and self._main.exit.done()

    def members(self) -> list[Entry]:
        """Return the living processes of the service."""
        return self._children.of(self._spec.name)

    def start(self, output: int) -> Child:
        """Start the service's own program, which writes to `output`; raises ServiceError."""
        self._output = output
        self._main = self._shell(self._spec.command, output, self._spec.name)
        return self._main

    def _shell(self, command: str, output: int, owner: str) -> Child:
        shell = "bash" if find_program("bash", self._setting.variables.get("PATH")) else "sh"
        return self._spawn((shell, "-c", command), output, owner)

    def _spawn(self, words: tuple[str, ...], output: int, owner: str) -> Child:
        _, directory, identity, *_ = self._setting
        if identity:
            os.fchown(output, identity.uid, -1)  # so that it may open /dev/stdout
        try:
            return self._children.start(Program(words, self._setting.variables, directory, identity), output, owner)
        except SpawnRefused as refused:
            raise ServiceError(str(refused), hint=REMEDIES.get(refused.number)) from refused

    async def run(self, words: tuple[str, ...]) -> tuple[int, str]:
        """Run a command beside the service; return its exit status and the last line of its output."""
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        said = b""

        def read() -> None:
            nonlocal said
            with suppress(BlockingIOError):
                said = (said + os.read(reading, 1 << 16))[-_LAST_WORDS:]

        loop.add_reader(reading, read)
        child = None
        try:
            child = self._spawn(words, writing, self._helpers)
            status = await asyncio.shield(child.exit)
            read()
        finally:
            if child and not child.exit.done():
                self._children.kill(self._children.of(self._helpers))
            loop.remove_reader(reading)
            os.close(reading)
            os.close(writing)
        lines = said.decode(errors="replace").strip().splitlines()
        return status, lines[-1] if lines else ""

    def hurry(self, seconds: float) -> None:
        """Let an end that is under way take `seconds` from now at most."""
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + seconds)
        self._children.wake()

    async def end(self, grace: float, shutdown: str | None = None) -> None:
        """End every process of the service: by a command or signal for `grace` seconds, then by force.

        Raises ServiceFailed when a process cannot be killed.
        """
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + grace
        asked = bool(shutdown) and bool(self.members()) and await self._shut_down(shutdown or "")
        told: set[int] = set()
        number = signal.Signals[self._spec.stop_signal]
        while members := self.members():
            late = loop.time() - self._deadline
            if late >= _STUBBORN:
                message = f"service `{self._spec.name}` cannot be ended: pid {members[0].pid} does not end"
                raise ServiceFailed(
                    message,
                    service=self._spec.name,
                    hint=f"see what it waits for: ps -o user,stat,wchan {members[0].pid}",
                )
            if number != signal.SIGTERM and self.main_has_ended and not self._spec.is_daemon:
                number, asked = signal.SIGTERM, False  # what the program leaves may know no other signal
                told.clear()
            if late >= 0:
                self._children.kill(members)
            elif not asked:
                self._children.signal(members, number, told)
            await self._children.change(-late if late < 0 else 0.1)

    async def _shut_down(self, command: str) -> bool:
        """Run the service's own command for its end; return whether it succeeded before the deadline."""
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
            self._log.write(f"esker: the shutdown command gave {status}\n".encode())
        return status == 0
