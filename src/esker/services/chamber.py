"""The interface of a chamber: the services of an environment, whichever program runs them.

A module that provides a chamber has a function `chamber(project, settings, environ, activation)`, and `registry` lists
the module. Every method takes the names of services; no names means all services. A limit is a number of seconds, or a
`Deadline`, which another thread can abandon.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from esker.host.interruption import plain
from esker.services.status import ServiceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from dataclasses import dataclass

    from esker.activate.active import Begun
    from esker.formats.service_handle import Holder
    from esker.host.clock import Deadline
    from esker.services.status import Killed, Until
else:
    from esker.host.frozen_dataclass import dataclass

__all__ = [
    "START_SECONDS",
    "Chamber",
    "Changed",
    "Leased",
    "ServiceActivation",
    "ServiceUser",
    "Stopped",
    "Volumes",
    "not_in_a_container",
    "unknown_service",
]

START_SECONDS = 60.0
"""Seconds within which services must become ready, unless the caller gives another limit."""

Changed = Callable[[ServiceStatus], object]
"""Called with the new status of each service that changes while the caller waits."""

if TYPE_CHECKING:
    ServiceActivation = Callable[[Mapping[str, str], "Deadline | None"], Begun]
    """Begins an activation: what the runtime changes for services, given the few variables that they start with.

    The chamber ends it. If a process of its own runs the services, that one takes part in the start before."""
else:
    ServiceActivation = Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUser:
    """A process that used a service when it was stopped."""

    service: str
    pid: int
    program: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The result of `Chamber.stop`."""

    stopped: tuple[str, ...]
    not_running: tuple[str, ...]
    """The named services that did not run."""
    left: tuple[str, ...] = ()
    """Services that still run, because somebody else has started their containers."""
    users: tuple[ServiceUser, ...] = ()
    """The processes that used the stopped services, without the caller and its ancestors."""
    killed: tuple[Killed, ...] = ()
    """Those of the stopped services that had to be killed."""


class Volumes(NamedTuple):
    """The volumes of a service that runs in a container."""

    removed: tuple[str, ...]
    """Those of the project, which `reset` removes."""
    external: tuple[str, ...]
    """Those that others have made, which stay."""


class Leased:
    """Services that are leased for one process; the end of a `with` block releases them."""

    def __init__(self, statuses: tuple[ServiceStatus, ...], release: Callable[[], object]) -> None:
        self.statuses = statuses
        """The states of the leased services when all of them had become ready."""
        self._release: Callable[[], object] | None = release
        self._owner = os.getpid()

    @plain
    def release(self) -> None:
        """End the lease, and stop the services that nobody else uses.

        A second call does nothing. A call in a forked child does nothing either, because its parent has the lease.
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

    Neither the constructor nor any method that only reads may lock or install anything, or run the project's code.
    """

    like_flox: bool
    """Whether Flox's rules hold where Esker's differ, as for `flox services`.

    Then a start succeeds even if a service without Esker's table fails at once, and a restart of some services takes
    nothing from an edited manifest while others run. It is false unless a caller sets it. A chamber in which Flox runs
    the services has Flox's rules in any case.
    """

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know before services start."""

    @property
    def unreadable(self) -> str | None:
        """Why nobody can say which services the Compose files have; None if that is known, or if there are none."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the declared services, sorted."""

    def start(
        self,
        *names: str,
        seconds: float | Deadline = START_SECONDS,
        changed: Changed | None = None,
        recreate: bool = False,
    ) -> tuple[ServiceStatus, ...]:
        """Start services and their dependencies, and return their states once all are ready; they run until `stop`.

        With `recreate`, those that run by an earlier definition than the declared one are restarted. Raises
        ServiceFailed, or ServicesNotReady after `seconds`; both only after stopping what this call started.
        """

    def restart(
        self, *names: str, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> dict[str, str]:
        """Stop services that run and start them with new variables; return `restarted` or `started` for each.

        A container that somebody else has started runs on: it is `left`.
        """

    def lease(
        self,
        *names: str,
        seconds: float | Deadline = START_SECONDS,
        changed: Changed | None = None,
        pid: int | None = None,
        token: str | None = None,
    ) -> Leased:
        """Start services as `start` does; they run until a process ends (`pid`, by default this one).

        Any process that knows `pid` and `token` can end the lease with `release`.
        """

    def release(self, pid: int, token: str) -> None:
        """End the lease of a process under a token, and stop the services that nobody else uses."""

    def stop(self, *names: str, force: bool = False) -> Stopped:
        """Stop services, even if other processes use them; with `force`, also containers that others have started."""

    def volumes(self, name: str) -> Volumes:
        """Return the volumes of a service; raises UsageError if it does not run in a container."""

    def reset(
        self, name: str, *, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Remove a service's container and volumes, start it, and run the oneshots that depend on it.

        Raises UsageError if it does not run in a container, and ServiceError if somebody else has started that.
        """

    def status(self, *names: str) -> tuple[ServiceStatus, ...]:
        """Return the states of services, sorted by name."""

    def wait(
        self, *names: str, until: Until = "healthy", seconds: float | Deadline | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Wait until services are `healthy`, `completed` or `stopped`, and return their states."""

    def changes(self) -> Iterator[ServiceStatus]:
        """Yield the state of each service, and then each changed state, until no service runs."""

    def logs(self, name: str, count: int | None = None) -> list[str]:
        """Return the last `count` lines of a service's log; without `count`, all lines."""

    def follow(
        self, *names: str, count: int | None = 0, pause: Callable[[], bool] | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield (service, line): the last `count` lines of each log, then each line that is added.

        A chamber that polls its logs calls `pause` between two looks, and following ends if it returns false.
        """

    def keeper(self) -> Holder | None:
        """Return the extra process, if the chamber needs one, that must live for services to keep running."""
        return None


def unknown_service(name: str, declared: Sequence[str]) -> Exception:
    """Return the error for a name that is not a declared service; its hint lists the declared ones."""
    from esker.errors import UnknownService

    listed = ", ".join(f"`{service}`" for service in sorted(declared))
    hint = f"the services here are {listed}" if listed else None
    return UnknownService(f"service `{name}` does not exist", service=name, hint=hint)


def not_in_a_container(name: str) -> Exception:
    """Return the error for a service whose container is asked for, but that is a process of this machine."""
    from esker.errors import UsageError

    return UsageError(
        f"service `{name}` does not run in a container",
        hint="its data lie where its command puts them: remove them there",
    )
