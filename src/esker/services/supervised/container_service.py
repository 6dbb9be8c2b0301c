"""A service that runs in a container of a Compose project.

Compose has made the container; here it is started when its turn comes, and followed until it ends. A container that ran
before, because somebody has started it by hand, is used as it is and never stopped.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

from esker.errors import ServiceError, ServiceFailed
from esker.services.compose.claims import check_ports
from esker.services.compose.container import paused
from esker.services.status import Killed
from esker.services.supervised.podman_checks import PodmanChecks
from esker.services.supervised.probe import NotRunnable, Shut
from esker.services.supervised.service import LOG_LINES, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence

    from esker.services.compose.container import Container
    from esker.services.specification import ServiceSpec
    from esker.services.states import Health
    from esker.services.supervised.engine import Engine
    from esker.services.supervised.programs import RunContext

__all__ = ["ContainerService"]

_SETTLED = 0.1
"""A container without a health check is ready once it has run for this many seconds."""
_KILLED = 128 + signal.SIGKILL
_UNTOLD = 2.0
"""After so many seconds without an event we look at a container that a start waits for: its engine may tell none."""


class _Lines:
    """The last lines of a container's log, as they were when they were last asked for."""

    problem: str | None = None

    def __init__(self) -> None:
        self.lines: list[str] = []

    def recent(self, count: int) -> list[str]:
        """Return the last lines, at most `count`."""
        return self.lines[-count:]


class ContainerService(Service):
    """A service that Compose describes and the container engine runs."""

    def __init__(self, spec: ServiceSpec, engine: Engine, notify: Callable[[Service], None]) -> None:
        self.lines = _Lines()
        super().__init__(spec, self.lines, notify)
        self.creation: asyncio.Task[dict[str, Container]] | None = None
        """What makes the containers of this start; set before `begin`."""
        self.container: Container | None = None
        """The container, as it was when we looked last."""
        self._engine = engine
        self._checks: PodmanChecks | None = None
        self._kills: set[asyncio.Task[None]] = set()
        """Those that a hurried stop has ordered; they end with it, as the same container may be started again."""

    @property
    def is_ours(self) -> bool:
        """Whether Esker has started the container, so that Esker may stop it."""
        return self.container is not None and self._engine.has_started(self.container)

    @property
    def is_a_guest(self) -> bool:
        """Whether the container runs and somebody else has started it."""
        return self.container is not None and self.container.runs and not self.is_ours

    def take_over(self) -> None:
        """Count the container as one that Esker has started, so that it can be stopped."""
        if self.container is not None:
            self._engine.remember(self.container)

    @property
    def advice(self) -> str:
        """A hint for a failure that only the container's own output can explain."""
        if self.lines.lines:
            return f"fix what its log reports; `esker services logs {self.spec.name}` shows more of it"
        return f"run it by hand: esker activate -- docker compose up {self.spec.name}"

    @property
    def obstacle(self) -> str | None:
        """What has kept it from becoming ready so far, if that is known."""
        if self.creation is not None and not self.creation.done():
            return f"Compose is still making the container of `{self.spec.name}`"
        return super().obstacle or (self._checks.problem if self._checks else None)

    @property
    def warnings(self) -> Sequence[str]:
        """What Compose has warned of when it made the container."""
        service = self.spec.container.service if self.spec.container else self.spec.name
        return self._engine.warnings.get(service, ()) if self.active else ()

    def is_outdated(self, spec: ServiceSpec | None) -> bool:
        """Return whether the container was made from another configuration than the one in `spec`."""
        if not self.active or self.container is None:
            return False
        return spec is None or spec.container is None or self.container.hash not in spec.container.hashes

    def _prepare(self) -> None:
        self.container = None
        self.lines.lines = []

    def _close(self) -> None:
        while self._kills:
            self._kills.pop().cancel()

    def check(self, spec: ServiceSpec, context: RunContext, freed: Collection[int]) -> None:
        """Do nothing: whether a container can start, only the engine knows."""

    async def _run(self) -> None:
        name = self.spec.name
        container = await self._made()
        changed = self._engine.change(container)
        changed.clear()
        if not container.runs:
            self._engine.remember(container)
            try:
                await self._engine.start(container)
            except ServiceError as error:
                self._engine.forget(container)
                raise self._failed(f"cannot start the container of `{name}`: {error.message}", error.hint) from error
        container = await self._look(container)
        async with self._checked(container):
            container = await self._watched(container, changed)
        if self.state != "Running":
            self._become("Running")  # it has run, too short a time for us to see it
        await self._ended(container)

    @asynccontextmanager
    async def _checked(self, container: Container) -> AsyncIterator[None]:
        """Have the container's health check run meanwhile if its engine leaves that to others."""
        if not container.is_podmans or container.check is None or self.spec.container is None:
            yield
            return
        host = await self._engine.host()
        self._checks = PodmanChecks(container, host, self.spec.container.start_interval)
        checking = asyncio.create_task(self._checks.run(lambda: self.uptime or 0.0))
        try:
            yield
        finally:
            self._checks = None
            checking.cancel()
            await asyncio.wait({checking})  # `await checking` would not tell which of the two tasks was cancelled
            if not checking.cancelled():
                checking.result()

    async def _watched(self, container: Container, changed: asyncio.Event) -> Container:
        """Take over what happens to a container until it has ended; return it as it was then."""
        while True:
            if self.started_at is None:  # one that ran before has run for longer
                self.started_at = container.started_at or time.time()
                ran = max(0.0, time.time() - self.started_at)
                self._begun = time.clock_gettime(time.CLOCK_BOOTTIME) - ran
            if not container.runs:
                return container
            await self._follow(container)
            await self._settle(changed)
            changed.clear()
            container = await self._look(container)

    async def _made(self) -> Container:
        assert self.creation is not None
        assert self.spec.container is not None
        try:
            made = await asyncio.shield(self.creation)
        except ServiceError as error:
            message = f"the container of `{self.spec.name}` cannot be made: {error.message}"
            raise self._failed(message, error.hint) from error
        self.container = container = made[self.spec.container.service]
        try:
            check_ports(self.spec.container, container, self.spec.ports)
        except ServiceError as error:
            raise self._failed(error.message, error.hint) from error
        return container

    async def _look(self, container: Container) -> Container:
        if self._engine.lost:
            raise self._failed(
                f"the container engine has ended, so `{self.spec.name}` is not watched any more: {self._engine.lost}",
                "start the engine, and then the services: esker services start",
            )
        try:
            found = await self._engine.inspect(container.id)
        except ServiceError as error:
            message = f"`{self.spec.name}` is not watched any more: {error.message}"
            raise self._failed(message, error.hint) from error
        if not found:
            raise self._failed(f"the container of `{self.spec.name}` was removed while it ran")
        self.container = found[0]
        if self._checks is not None:
            self._checks.see(found[0])
        return found[0]

    async def _follow(self, container: Container) -> None:
        """Take over what the engine says of a container that runs."""
        was_unhealthy = self.state == "Running" and self.health == "unhealthy"
        self.pid = container.pid or None
        self.restarts = container.restarts
        self.health = cast("Health | None", container.health)
        if container.status == "restarting":
            if self.state == "Running":
                self._become("Restarting")
            return
        if self.state != "Running":
            self._become("Running")
            self.pid, self.health = container.pid or None, cast("Health | None", container.health)
        self.started = True
        if container.status == "paused":
            self.was_ready, self.problem = False, paused(container)
            self._notify(self)
            return
        await self._judge(container, was_unhealthy=was_unhealthy)

    async def _judge(self, container: Container, *, was_unhealthy: bool) -> None:
        """Take over what is known of the health of a container that runs."""
        self.problem, is_shut = container.problem, container.is_shut
        if self._checks is not None and container.health != "healthy" and not self.was_ready:
            if not was_unhealthy:
                await self._checks.explain(self._engine.attempt)
            self.problem, is_shut = self._checks.found or self.problem, self._checks.is_shut
        if container.health == "healthy":
            self.problem, self.health = None, "starting"
            self._become_healthy()
        elif container.health == "unhealthy" or is_shut:
            self.problem = self.problem or "its health check fails"
            if is_shut:
                self.problem = Shut(f"the container engine can run nothing in it: {self.problem}")
            elif container.lacks_check:
                self.problem = NotRunnable(self.problem)
            if not was_unhealthy:
                self.lines.lines = await self._engine.last_lines(container, LOG_LINES)
            self._become_unhealthy()
        else:
            self._notify(self)

    async def _settle(self, changed: asyncio.Event) -> None:
        """Wait for the next change, or for as long as a container that is not ready yet may be left unseen.

        One that runs without a health check becomes ready meanwhile.
        """
        is_paused = self.container is not None and self.container.status == "paused"
        if self.health is None and self.started and not (self.was_ready or self.spec.oneshot or is_paused):
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLED):
                    await changed.wait()
            if changed.is_set():
                return
            self.was_ready = True
            self._notify(self)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self.was_ready else _UNTOLD):
                await changed.wait()

    async def _ended(self, container: Container) -> None:
        was_ready = self.was_ready
        self.pid, self.exit_code = None, container.exit_code
        self._engine.forget(container)
        if container.exit_code == 0 and not container.error:
            return
        self.lines.lines = await self._engine.last_lines(container, LOG_LINES)
        when = "" if was_ready or self.spec.oneshot else " before it was ready"
        how = f"exited with status {container.exit_code}{when}"
        message = f"the container `{container.name}` of `{self.spec.name}` {how}"
        raise ServiceFailed(
            f"{message}: {container.error}" if container.error else message,
            service=self.spec.name,
            status=container.exit_code,
            log=self.lines.lines,
            hint=self.advice,
        )

    async def _end(self, grace: float) -> Killed | None:
        container = self.container
        if container is None or not self.is_ours:
            return None  # it was not started, or it ran before, and its owner stops it
        begun = time.monotonic()
        try:
            await self._engine.stop(container, grace)
        except ServiceError as error:
            message = f"the container of `{self.spec.name}` cannot be stopped: {error.message}"
            raise ServiceError(message, hint=error.hint) from error
        self._engine.forget(container)
        given = round(grace)  # as the engine counts
        return await self._killed(container, given) if 0 < given <= time.monotonic() - begun else None

    async def _killed(self, container: Container, seconds: int) -> Killed | None:
        """Return how a container was killed after its `seconds`, if it was; an engine does not say so by itself."""
        with suppress(ServiceError):  # it has stopped all the same
            for ended in await self._engine.inspect(container.id):
                if ended.exit_code == _KILLED:
                    name, number = self.spec.name, ended.stop_signal
                    return Killed(service=name, signal=number, seconds=seconds, container=container.name)
        return None

    def _hurry(self, grace: float) -> None:
        if self.container is not None and self.is_ours:
            self._kills.add(asyncio.create_task(self._kill(self.container, grace)))

    async def _kill(self, container: Container, grace: float) -> None:
        await asyncio.sleep(grace)
        with suppress(ServiceError):  # the stop that is under way says why
            await self._engine.kill(container)
