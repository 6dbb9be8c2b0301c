"""The services of one environment, as commands and programs ask for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from esker.errors import ServiceError, UnknownService, UsageError
from esker.host import process_id, process_table
from esker.services import graph, status
from esker.services.status import ServiceStatus
from esker.services.supervised import logs, protocol
from esker.services.supervised.protocol import Lease
from esker.services.supervised.rendezvous import connect

if TYPE_CHECKING:
    from esker.services.specification import ServiceSpec
    from esker.services.supervised.connection import Changed, Connection
    from esker.services.supervised.site import Site

__all__ = ["Leased", "Services", "Stopped", "User"]

Environments = Callable[[], Mapping[str, Mapping[str, str]]]
_ANSWER = 20.0
"""Seconds for an answer that needs no waiting, and those added to a limit of the request's own."""
_START_SECONDS = 60.0
_MOST = 1_000_000_000
"""Seconds that a limit may have, and lines that may be asked for: the system's own limits lie above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A process that was using a service."""

    service: str
    pid: int
    program: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What an order to stop did."""

    stopped: tuple[str, ...]
    not_running: tuple[str, ...]
    """Those of the named ones that did not run."""
    users: tuple[User, ...]
    """Who was using what was stopped, but for the caller and its parents."""


class Services:
    """The declared services of an environment.

    `environments` gives the variables of each service, activation included; it is called when services start.
    """

    def __init__(self, site: Site, specs: Mapping[str, ServiceSpec], environments: Environments) -> None:
        self.site = site
        self.specs = dict(specs)
        self._environments = environments
        self.asking: Callable[[Connection], AbstractContextManager[object]] = nullcontext
        """Entered while an answer is awaited that may take long: who is not alone can `abort` the connection in it."""

    def start(
        self, *names: str, seconds: float = _START_SECONDS, changed: Changed | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Start services, all without names, with what they depend on; they run until `stop`.

        Return when all are ready. Raises ServiceFailed, or ServicesNotReady after `seconds`; then what this call
        started has stopped again.
        """
        return self._start(protocol.Start, names, seconds, changed)[1]

    def restart(self, *names: str, seconds: float = _START_SECONDS, changed: Changed | None = None) -> dict[str, str]:
        """Stop services that run and start them with new variables; return `restarted` or `started` for each."""
        words: dict[str, str] = self._start(protocol.Restart, names, seconds, changed)[0]
        return words

    def lease(
        self,
        *names: str,
        seconds: float = _START_SECONDS,
        changed: Changed | None = None,
        pid: int | None = None,
        token: str | None = None,
    ) -> Leased:
        """Start services as `start` does, for as long as the process `pid` (ours) lives or until they are released.

        With a `token` of the caller's own, another process can give the lease back by `release`.
        """
        lease = _lease(os.getpid() if pid is None else pid, token or os.urandom(8).hex())
        return Leased(self, lease, self._start(protocol.Start, names, seconds, changed, lease)[1])

    def release(self, pid: int, token: str) -> None:
        """Give back the lease of a process under a token; what nobody else uses has stopped on return."""
        connection = connect(self.site, start=False)
        if connection:
            connection.ask(protocol.Release(lease=_lease(pid, token)), _ANSWER)

    def _start(
        self,
        kind: type[protocol.Start],
        names: tuple[str, ...],
        seconds: float,
        changed: Changed | None,
        lease: Lease | None = None,
    ) -> tuple[Any, tuple[ServiceStatus, ...]]:
        _check(seconds, "seconds")
        if not self.specs:
            raise ServiceError("this environment has no services", hint="declare one in `[services]`")
        graph.check(self.specs)
        graph.closure(self.specs, names)
        request = kind(
            names=names,
            specs=tuple(self.specs.values()),
            environments=self._environments(),
            directory=self.site.project,
            paths=self.site.paths,
            store_paths=self.site.store_paths,
            caller=os.getpid(),
            lease=lease,
            seconds=seconds,
        )
        connection = connect(self.site, start=True)
        assert connection is not None
        wanted = set(graph.closure(self.specs, names or self.specs))
        with self.asking(connection):
            result = connection.ask(request, seconds + self._grace(wanted) + _ANSWER, changed)
        found = (status.parse(record) for record in result["services"])
        return result["names"], tuple(sorted((one for one in found if one.name in wanted), key=lambda one: one.name))

    def stop(self, *names: str) -> Stopped:
        """Stop services, all without names, whoever uses them and whether they are kept or not."""
        connection = connect(self.site, start=False)
        unknown = [name for name in names if name not in self.specs]
        if unknown and not (connection and set(unknown) <= {found.name for found in self._running()}):
            if connection:
                connection.close()
            self._refuse(unknown)
        if connection is None:
            return Stopped(stopped=(), not_running=names, users=())
        result = connection.ask(protocol.Stop(names=names, caller=os.getpid()), self._grace(self.specs) + _ANSWER)
        return Stopped(
            stopped=tuple(result["stopped"]),
            not_running=tuple(result["not_running"]),
            users=tuple(User(**user) for user in result["users"]),
        )

    def status(self, *names: str) -> tuple[ServiceStatus, ...]:
        """Return the state of services, of all without names, in the order of their names."""
        found = {name: ServiceStatus(name=name, ports=spec.ports) for name, spec in self.specs.items()}
        found |= {one.name: one for one in self._running() if one.name in self.specs or one.pid is not None}
        if unknown := [name for name in names if name not in found]:
            self._refuse(unknown)
        return tuple(found[name] for name in sorted(names or found))

    def _running(self) -> tuple[ServiceStatus, ...]:
        connection = connect(self.site, start=False)
        if connection is None:
            return ()
        return tuple(status.parse(record) for record in connection.ask(protocol.Status(), _ANSWER))

    def wait(
        self, *names: str, until: protocol.Until = "healthy", seconds: float | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Wait until services are `healthy` (ready, without a check), `completed` or `stopped`."""
        _check(seconds, "seconds")
        known = self.status(*names)
        waited = tuple(one.name for one in known)
        connection = connect(self.site, start=False)
        if connection is None:
            if until != "stopped":
                raise ServiceError(f"service `{waited[0]}` is not running", hint="start it first")
            return self.status(*names)
        limit = None if seconds is None else seconds + _ANSWER
        with self.asking(connection):
            connection.ask(protocol.Wait(names=waited, until=until, seconds=seconds), limit)
        return self.status(*names)

    def changes(self) -> Iterator[ServiceStatus]:
        """Yield the state of each service, and then each change, for as long as any runs."""
        connection = connect(self.site, start=False)
        if connection:
            yield from connection.changes()

    def logs(self, name: str, count: int | None = None) -> list[str]:
        """Return the last `count` lines of a service's log, or all that is kept, running or not."""
        _check(count, "lines")
        return logs.tail(self._log_paths((name,))[name], count)

    def follow(self, *names: str, count: int | None = 0, pause: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """Yield (service, line): the last `count` of each, then what is added, for as long as `pause` returns true."""
        _check(count, "lines")
        return logs.follow(self._log_paths(names), pause, count=count)

    def _log_paths(self, names: Iterable[str]) -> dict[str, str]:
        if unknown := [name for name in names if name not in self.specs]:
            self._refuse(unknown)
        return {name: logs.log_path(self.site.logs, name) for name in names or sorted(self.specs)}

    def _grace(self, names: Iterable[str]) -> float:
        """The longest that stopping may take: each may have to wait for the others."""
        return sum(self.specs[name].stop_grace_period for name in names)

    def _refuse(self, unknown: list[str]) -> None:
        listed = ", ".join(f"`{name}`" for name in sorted(self.specs))
        raise UnknownService(
            f"service `{unknown[0]}` does not exist",
            service=unknown[0],
            hint=f"the services here are {listed}" if listed else None,
        )


def _check(number: float | None, unit: str) -> None:
    if number is not None and not 0 <= number <= _MOST:
        raise UsageError(f"`{number:g}` {unit} cannot be meant", hint=f"give a number from 0 to {_MOST}")


def _lease(pid: int, token: str) -> Lease:
    if process_table.entry(pid) is None:
        raise ServiceError(f"there is no process {pid} for which services could run")
    return Lease(token, process_id.of(pid))


class Leased:
    """Services that run for one process; the end of a `with` block releases them."""

    def __init__(self, services: Services, lease: Lease, statuses: tuple[ServiceStatus, ...]) -> None:
        self.statuses = statuses
        """The services that were started or joined, as they were when all was ready."""
        self._services = services
        self._lease = lease
        self._owner = os.getpid()

    def release(self) -> None:
        """Give the services back; what nobody else uses has stopped on return. A second time nothing happens."""
        if os.getpid() != self._owner:
            return  # a child of the process that holds them
        connection = connect(self._services.site, start=False)
        if connection:
            connection.ask(protocol.Release(lease=self._lease), _ANSWER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
