"""Health checks of containers on Podman, which nobody runs where no systemd does.

Podman has no process of its own: timers of systemd run its checks. Where those do not exist, a container stays
`starting` for ever. So Esker asks Podman to run a check that nobody else has run for too long. Podman keeps the result
as if a timer had run it, and `docker inspect`, `docker ps` and Compose show it.

The check is asked for over Podman's own interface (`/libpod/containers/ID/healthcheck`, on the socket that Docker's
protocol comes from): 0.10 s for each, where `podman --url … healthcheck run` took 0.17 s and is one more program to
install. A port without TLS (`tcp://`) is asked like a socket.

Podman keeps no result of a check that fails in the start period, and no words where it could not run one. So while a
start waits, Esker runs the check's command itself now and then, to say what is wrong.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import ServiceError
from esker.services.compose.container import cannot_enter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from esker.services.compose.container import Container

__all__ = ["PodmanChecks"]

_LATE = 1.25
"""After this many intervals, a check that somebody else has run before counts as given up."""
_MARGIN = 10.0
"""Seconds that an answer may take beyond the time that a check itself has."""
_OWN = 2.0
"""Seconds between two runs of Esker's own."""
_OFTEN = 2
"""After so many runs in a row that the engine could not begin, it will not begin the next one either."""
_SOCKET, _PORT = "unix://", "tcp://"
_LARGEST = 1 << 16


class PodmanChecks:
    """Runs the health check of one container at its interval, for as long as `run` is awaited."""

    def __init__(self, container: Container, host: str, start_interval: float | None) -> None:
        """`host` is the engine's address, as DOCKER_HOST has it; `start_interval` is the Compose file's."""
        self._loop = asyncio.get_running_loop()
        self._container = container
        self._host = host
        self._start_interval = start_interval
        self._last = self._loop.time()
        self._is_others = False
        """Whether somebody else ran the last check."""
        self._is_expected = False
        """Whether a result that Esker has asked for is still to be seen."""
        self._tried = self._last
        self._shut = 0
        self.found: str | None = None
        """What Esker's own run of the check has found wrong."""

    @property
    def is_shut(self) -> bool:
        """Whether the engine can run nothing in the container any more."""
        return self._shut >= (1 if self._container.health == "unhealthy" else _OFTEN)

    @property
    def _is_in_reach(self) -> bool:
        return self._host.startswith((_SOCKET, _PORT))

    @property
    def problem(self) -> str | None:
        """Why no check has run, if Esker cannot run any."""
        if self._is_in_reach or self._container.checked:
            return None
        reach = "over a Unix socket or `tcp://`"
        return f"no health check has run: Esker runs those of Podman {reach}, but not at `{self._host}`"

    def see(self, container: Container) -> None:
        """Take note of what the engine says of the container by now."""
        if container.checked != self._container.checked:
            self._last, self._is_others = self._loop.time(), not self._is_expected
            self._is_expected = False
        self._container = container

    async def run(self, uptime: Callable[[], float]) -> None:
        """Run the check whenever it is due; `uptime` says for how many seconds the container has run."""
        while self._is_in_reach:
            check = self._container.check
            assert check is not None
            is_starting = self._container.health == "starting" and uptime() < check.start_period
            interval = (self._start_interval or check.start_interval) if is_starting else check.interval
            due = self._last + interval * (_LATE if self._is_others else 1.0)
            if (left := due - self._loop.time()) > 0:
                await asyncio.sleep(left)
            elif self._container.status == "paused":
                self._last = self._loop.time()  # nothing can run in it
            else:
                await self._check(check.timeout)

    async def explain(self, attempt: Callable[[Container], Awaitable[tuple[int, str]]]) -> None:
        """Run the check's command, unless that was just done; `attempt` gives its exit status and what it printed."""
        if self._container.health != "unhealthy" and self._loop.time() < self._tried + _OWN:
            return
        try:
            status, text = await attempt(self._container)
        except ServiceError as error:
            status, text = 1, error.message
        text = text.strip()
        self._shut = self._shut + 1 if status and cannot_enter(text) else 0
        if self._shut:
            text = text.splitlines()[0]
        self.found = (text or f"its check ended with status {status}") if status else None
        self._tried = self._loop.time()

    async def _check(self, seconds: float) -> None:
        """Have the check run, which may take so many seconds; the engine tells its result as an event."""
        self._is_expected = True
        with suppress(OSError, TimeoutError):  # if the engine has gone, its stream of events ends, and that is told
            async with asyncio.timeout(seconds + _MARGIN):
                await self._ask()
        self._last = self._loop.time()

    async def _ask(self) -> None:
        if self._host.startswith(_SOCKET):
            reader, writer = await asyncio.open_unix_connection(self._host.removeprefix(_SOCKET))
        else:
            from urllib.parse import urlsplit

            address = urlsplit(self._host)
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            path = f"/v4.0.0/libpod/containers/{self._container.id}/healthcheck"
            writer.write(f"GET {path} HTTP/1.0\r\nHost: podman\r\n\r\n".encode())
            await writer.drain()
            while await reader.read(_LARGEST):
                pass
        finally:
            writer.close()
