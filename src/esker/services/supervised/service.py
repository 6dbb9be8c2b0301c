"""One service: its state, and everything that changes it, from waiting for dependencies to having stopped.

One task runs the life of a service: it waits for the dependencies and then runs the service. Stopping cancels that
task, whatever it is doing, and then ends what has been started. How a service runs and is ended is the business of its
kind: `process_service` has the programs of this machine, `services.compose.container_service` has containers.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from esker.errors import EskerError, ServiceFailed
from esker.host.causes import remedy
from esker.services.states import ACTIVE, TRANSITIONS
from esker.services.supervised.programs import RunContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from esker.services.specification import ServiceSpec
    from esker.services.states import Health, State
    from esker.services.status import Killed

__all__ = ["LOG_LINES", "Service", "ServiceLog"]

LOG_LINES = 20
"""How many lines of its log a failure carries."""


class ServiceLog(Protocol):
    """What a service has written so far."""

    problem: str | None
    """Why the log is incomplete, if it is."""

    def recent(self, count: int) -> list[str]:
        """Return its last lines, at most `count`."""


class Service(ABC):
    """One service; calls `notify` with itself after each change of its state. Each kind is a subclass."""

    def __init__(self, spec: ServiceSpec, log: ServiceLog, notify: Callable[[Service], None]) -> None:
        self.spec = spec
        self.context = RunContext({}, "/")
        self.log = log
        self.state: State = "Stopped"
        self.health: Health | None = None
        self.problem: str | None = None
        """What the last health check found wrong."""
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.failure: ServiceFailed | None = None
        self.started = False
        self.was_ready = False
        """Whether this run has been ready at some time; it may be unhealthy now."""
        self.restarts = 0
        self.remark: str | None = None
        """What a person may not expect of how it has ended."""
        self.killed: Killed | None = None
        """How the last stop had to kill it; None if it ended when it was asked to, or did not run."""
        self.started_at: float | None = None
        self._begun = 0.0
        self._notify = notify
        self._life: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    @abstractmethod
    async def _run(self) -> None:
        """Run the service until it completes; raise ServiceFailed if it fails."""

    @abstractmethod
    async def _end(self, grace: float) -> Killed | None:
        """End what runs of the service within `grace` seconds, and return how it was killed if it had to be.

        Raises EskerError if it does not end.
        """

    @abstractmethod
    def _hurry(self, grace: float) -> None:
        """Shorten the grace of an `_end` that is under way."""

    @abstractmethod
    def _prepare(self) -> None:
        """Get ready for a new life, by the present `spec` and `context`."""

    @abstractmethod
    def _close(self) -> None:
        """Give back what a run has needed."""

    @abstractmethod
    def check(self, spec: ServiceSpec, context: RunContext, freed: Collection[int]) -> None:
        """Raise ServiceFailed if a start by `spec` must fail; until it is stopped, the service runs as it was begun.

        The ports `freed` will be free by then.
        """

    @property
    @abstractmethod
    def advice(self) -> str:
        """A hint for a failure that only the service's own output can explain."""

    def is_outdated(self, spec: ServiceSpec | None) -> bool:
        """Return whether it runs by another definition than `spec`."""
        return self.active and self.spec != spec

    @property
    def active(self) -> bool:
        """Whether it runs, is about to run, or is being stopped."""
        return self.state in ACTIVE

    @property
    def ready(self) -> bool:
        """Whether it is ready now: an unhealthy service is not, even if it was healthy before."""
        return self.was_ready and self.health != "unhealthy"

    @property
    def satisfied(self) -> bool:
        """Whether a start need not wait for it any longer: it has completed, or it is ready and not a oneshot."""
        return self.state == "Completed" or (self.ready and not self.spec.oneshot)

    def begin(self, spec: ServiceSpec, context: RunContext, dependencies: Callable[[Service], Awaitable[None]]) -> None:
        """Run the service once `dependencies` returns; if that raises, the service is `Skipped` with this failure.

        The service must not be active.
        """
        self.spec, self.context = spec, context
        self._prepare()
        self.failure, self.restarts = None, 0
        self.exit_code = self.started_at = None
        self._become("Pending")
        self._life = asyncio.create_task(self._live(dependencies))

    async def _live(self, dependencies: Callable[[Service], Awaitable[None]]) -> None:
        state: State = "Skipped"
        try:
            await dependencies(self)
            state = "Error"
            await self._run()
            state = "Completed"
        except ServiceFailed as failure:
            self.failure = failure
        except EskerError as error:
            self.failure = self._failed(f"cannot start the service `{self.spec.name}`: {error.message}", error.hint)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            hint = remedy(error.errno)
            self.failure = self._failed(f"cannot start the service `{self.spec.name}`: {reason}", hint)
        except Exception as error:  # noqa: BLE001  (a bug of ours goes to supervisor.log, and no client waits forever)
            traceback.print_exc()
            self.failure = self._failed(f"cannot run the service `{self.spec.name}`: {error!r}")
        try:
            self._close()
            self._become(state)
        except Exception as error:  # noqa: BLE001  (the same: an error here would be lost with the task)
            traceback.print_exc()
            self.failure = self.failure or self._failed(f"cannot end the service `{self.spec.name}`: {error!r}")
            if self.state in ACTIVE:
                self._become("Error")

    @property
    def uptime(self) -> float | None:
        """The seconds it has run, even if somebody has set the clock meanwhile."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self._begun if self.pid else None

    @property
    def obstacle(self) -> str | None:
        """What has kept it from becoming ready so far, if that is known."""
        name = self.spec.name
        if self.restarts:
            return f"`{name}` has ended and was restarted, {self.restarts} times so far"
        if self.problem:
            return f"the health check of `{name}` found: {self.problem}"
        return None

    def _failed(self, message: str, hint: str | None = None) -> ServiceFailed:
        lines = self.log.recent(LOG_LINES)
        return ServiceFailed(message, service=self.spec.name, status=self.exit_code, log=lines, hint=hint)

    def _become_healthy(self) -> None:
        if self.health != "healthy":
            self.health, self.was_ready = "healthy", True
            self._notify(self)

    def _become_unhealthy(self) -> None:
        self.health = "unhealthy"
        self._notify(self)

    async def stop(self, grace: float) -> None:
        """Ask the processes to end, and kill them after `grace` seconds; a second call can only shorten the grace."""
        if self._stopping and not self._stopping.done():
            self._hurry(grace)
        else:
            self.killed = None
            if self.state == "Stopped":
                return
            self._become("Terminating")  # before the first await, so that nobody still takes it for running
            if self._life:
                self._life.cancel()  # before the first await, so that the task cannot set another state
            self._stopping = asyncio.create_task(self._stop(grace))
        await asyncio.shield(self._stopping)

    async def _stop(self, grace: float) -> None:
        if self._life and not self._life.done():
            with suppress(asyncio.CancelledError):
                await self._life
        try:
            self.killed = await self._end(grace)
        except EskerError as error:
            self.failure = self._failed(error.message, error.hint)
            self._become("Error")
        else:
            self.exit_code = self.started_at = self.failure = None
            self._become("Stopped")
        finally:
            self._close()

    def _become(self, state: State) -> None:
        assert state == self.state or state in TRANSITIONS[self.state], f"{self.state} -> {state}"
        self.state = state
        if state not in {"Launching", "Running"}:
            self.pid = self.pid if state == "Terminating" else None
            self.health = None
            self.started = self.was_ready = False
        self._notify(self)
