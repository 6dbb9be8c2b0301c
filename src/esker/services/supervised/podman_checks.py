"""Health checks of containers on Podman, which nobody runs where no systemd does.

Podman has no process of its own: timers of systemd run its checks. Where those do not exist, a container stays
`starting` for ever. So Esker asks Podman to run a check that nobody else has run for too long. Podman keeps the result
as if a timer had run it, and `docker inspect`, `docker ps` and Compose show it.

The check is asked for over Podman's own interface (`/libpod/containers/ID/healthcheck`, on the socket that Docker's
protocol comes from): 0.10 s for each, where `podman --url … healthcheck run` took 0.17 s and is one more program to
install.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from esker.services.compose.container import Container

__all__ = ["PodmanChecks"]

_LATE = 1.25
"""After this many intervals, a check that somebody else has run before counts as given up."""
_MARGIN = 10.0
"""Seconds that an answer may take beyond the time that a check itself has."""
_SOCKET = "unix://"
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

    @property
    def problem(self) -> str | None:
        """Why no check has run, if Esker cannot run any."""
        if self._host.startswith(_SOCKET) or self._container.checked:
            return None
        return f"no health check has run: Esker runs those of Podman over a Unix socket, but not at `{self._host}`"

    def see(self, container: Container) -> None:
        """Take note of what the engine says of the container by now."""
        if container.checked != self._container.checked:
            self._last, self._is_others = self._loop.time(), not self._is_expected
            self._is_expected = False
        self._container = container

    async def run(self, uptime: Callable[[], float]) -> None:
        """Run the check whenever it is due; `uptime` says for how many seconds the container has run."""
        while self._host.startswith(_SOCKET):
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

    async def _check(self, seconds: float) -> None:
        """Have the check run, which may take so many seconds; the engine tells its result as an event."""
        self._is_expected = True
        with suppress(OSError, TimeoutError):  # if the engine has gone, its stream of events ends, and that is told
            async with asyncio.timeout(seconds + _MARGIN):
                await self._ask()
        self._last = self._loop.time()

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._host.removeprefix(_SOCKET))
        try:
            path = f"/v4.0.0/libpod/containers/{self._container.id}/healthcheck"
            writer.write(f"GET {path} HTTP/1.0\r\nHost: podman\r\n\r\n".encode())
            await writer.drain()
            while await reader.read(_LARGEST):
                pass
        finally:
            writer.close()
