"""What a chamber is: the services beside a runtime, whatever runs them.

A module that gives a chamber has a function `chamber(project, settings, environ, activation)`; `registry` names it.
Names choose services; without names every service is meant. A limit is given in seconds or as a `Deadline`, which can
also be given up from another thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from esker.services.status import ServiceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.activate.difference import Activation
    from esker.formats.service_handle import Holder
    from esker.host.clock import Deadline
    from esker.services.status import Until

__all__ = [
    "START_SECONDS",
    "Chamber",
    "Changed",
    "Leased",
    "ServiceActivation",
    "ServiceUser",
    "Stopped",
    "unknown_service",
]

START_SECONDS = 60.0
"""Seconds in which services become ready, unless the caller says otherwise."""

Changed = Callable[[ServiceStatus], object]
"""Hears of each service whose state changes while an answer is awaited."""

if TYPE_CHECKING:
    ServiceActivation = Callable[[Mapping[str, str], "Deadline | None"], Activation]
    """Works out what the runtime changes for services that begin with these few variables of the caller's."""
else:
    ServiceActivation = Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUser:
    """A process that was using a service."""

    service: str
    pid: int
    program: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What became of an order to stop services."""

    stopped: tuple[str, ...]
    not_running: tuple[str, ...]
    """The named services that did not run."""
    users: tuple[ServiceUser, ...] = ()
    """The processes that were using what was stopped, without the caller and its parents."""


class Leased:
    """Services that run for one process; the end of a `with` block releases them."""

    def __init__(self, statuses: tuple[ServiceStatus, ...], release: Callable[[], object]) -> None:
        self.statuses = statuses
        """The services that were started or joined, as they were when all of them were ready."""
        self._release: Callable[[], object] | None = release
        self._owner = os.getpid()

    def release(self) -> None:
        """Give the services back; those that nobody else uses have stopped when this returns.

        A second call does nothing, and neither does one in a forked child, whose parent still holds them.
        """
        release = self._release
        if release is None or os.getpid() != self._owner:
            return
        self._release = None
        release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Chamber(Protocol):
    """The services of one environment.

    Making a chamber and reading from it neither lock, install nor run anything of the project.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the declared services, sorted."""

    def start(
        self, *names: str, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Start services with what they depend on, and return their states when all are ready; they run until `stop`.

        Raises ServiceFailed, or ServicesNotReady after `seconds`; then what this call started has stopped again.
        """

    def restart(
        self, *names: str, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> dict[str, str]:
        """Stop services that run and start them with new variables; return `restarted` or `started` for each."""

    def lease(
        self,
        *names: str,
        seconds: float | Deadline = START_SECONDS,
        changed: Changed | None = None,
        pid: int | None = None,
        token: str | None = None,
    ) -> Leased:
        """Start services as `start` does, for as long as a process lives (`pid`, by default this one).

        Whoever knows `pid` and `token` can give the lease back by `release`, from any process.
        """

    def release(self, pid: int, token: str) -> None:
        """Give back the lease that a process holds under a token, as `Leased.release` does."""

    def stop(self, *names: str) -> Stopped:
        """Stop services, even if other processes use them."""

    def status(self, *names: str) -> tuple[ServiceStatus, ...]:
        """Return the state of services, in the order of their names."""

    def wait(
        self, *names: str, until: Until = "healthy", seconds: float | Deadline | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Wait until services are `healthy`, `completed` or `stopped`, and return their states."""

    def changes(self) -> Iterator[ServiceStatus]:
        """Yield the state of each service, and then each change, for as long as any service runs."""

    def logs(self, name: str, count: int | None = None) -> list[str]:
        """Return the last `count` lines of a service's log; without `count`, all that there are."""

    def follow(
        self, *names: str, count: int | None = 0, pause: Callable[[], bool] | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield pairs of service and line: the last `count` lines of each log, then each line that is added.

        A chamber that has to look at its logs again and again calls `pause` in between, and ends when it returns false.
        """

    def keeper(self) -> Holder | None:
        """Return the process that must live on so that started services do, if the chamber needs one."""
        return None


def unknown_service(name: str, declared: Sequence[str]) -> Exception:
    """Return the error for a name that no service here has."""
    from esker.errors import UnknownService

    listed = ", ".join(f"`{each}`" for each in sorted(declared))
    hint = f"the services here are {listed}" if listed else None
    return UnknownService(f"service `{name}` does not exist", service=name, hint=hint)
