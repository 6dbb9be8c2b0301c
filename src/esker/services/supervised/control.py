"""The supervised chamber: the services of one environment, which a supervisor of ours runs."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.errors import ServiceError, UsageError
from esker.host import process_id, process_table
from esker.host.clock import Abandoned, Deadline
from esker.services import graph, status
from esker.services.chamber import START_SECONDS, Leased, ServiceUser, Stopped, unknown_service
from esker.services.status import ServiceStatus
from esker.services.supervised import logs, protocol
from esker.services.supervised.protocol import Lease
from esker.services.supervised.rendezvous import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from esker.formats.service_handle import Holder
    from esker.services.chamber import Changed
    from esker.services.specification import ServiceSpec
    from esker.services.status import Until
    from esker.services.supervised.connection import Connection
    from esker.services.supervised.site import Site

__all__ = ["Supervised", "Surroundings"]

_ANSWER = 20.0
"""Seconds for an answer that needs no waiting, and those added to a limit of the request's own."""
_ENDLESS = 1e8
"""The seconds of a limit that nobody set."""
_PAUSE = 0.1
_MOST = 1_000_000_000
"""Seconds that a limit may have, and lines that may be asked for: the system's own limits lie above."""


class Surroundings(NamedTuple):
    """What services are given when they start."""

    variables: Mapping[str, Mapping[str, str]]
    """All variables of each service, by the service's name."""
    paths: tuple[str, ...] = ()
    """What services must be able to enter and run besides the project: the store, the interpreter."""
    store: str = ""
    """The root directory of the store that `store_paths` lie in."""
    store_paths: tuple[str, ...] = ()
    """What must not be collected while they run."""


class Supervised:
    """The services of an environment as processes of a supervisor; a Chamber.

    `surroundings` is called when services start, and only then: it may lock, install and run code of the project.
    """

    def __init__(
        self, site: Site, specs: Mapping[str, ServiceSpec], surroundings: Callable[[Deadline], Surroundings]
    ) -> None:
        self.site = site
        self.specs = dict(specs)
        self._surroundings = surroundings

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the declared services, sorted."""
        return tuple(sorted(self.specs))

    def start(
        self, *names: str, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Start services with what they depend on, and return their states when all are ready; they run until `stop`.

        Raises ServiceFailed, or ServicesNotReady after `seconds`; then what this call started has stopped again.
        """
        return self._start(protocol.Start, names, seconds, changed)[1]

    def restart(
        self, *names: str, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> dict[str, str]:
        """Stop services that run and start them with new variables; return `restarted` or `started` for each."""
        words: dict[str, str] = self._start(protocol.Restart, names, seconds, changed)[0]
        return words

    def lease(
        self,
        *names: str,
        seconds: float | Deadline = START_SECONDS,
        changed: Changed | None = None,
        pid: int | None = None,
        token: str | None = None,
    ) -> Leased:
        """Start services as `start` does, for as long as the process `pid` (default: ours) lives.

        Whoever knows `pid` and `token` can give the lease back by `release`, from any process.
        """
        lease = _lease(os.getpid() if pid is None else pid, token or os.urandom(8).hex())
        statuses = self._start(protocol.Start, names, seconds, changed, lease)[1]
        return Leased(statuses, lambda: self._release(lease))

    def release(self, pid: int, token: str) -> None:
        """Give back the lease of a process under a token; what nobody else uses has stopped on return."""
        self._release(_lease(pid, token))

    def _release(self, lease: Lease) -> None:
        connection = connect(self.site, start=False)
        if connection:
            connection.ask(protocol.Release(lease=lease), _ANSWER)

    def _start(
        self,
        kind: type[protocol.Start],
        names: tuple[str, ...],
        seconds: float | Deadline,
        changed: Changed | None,
        lease: Lease | None = None,
    ) -> tuple[Any, tuple[ServiceStatus, ...]]:
        """Ask for a start or restart; return what the supervisor answers for names, and the states of what was meant.

        A deadline that is given up while the supervisor works takes the request back: see `Deadline.telling`.
        """
        deadline = _deadline(seconds)
        if not self.specs:
            raise _no_services()
        graph.check(self.specs)
        meant = set(graph.closure(self.specs, names or self.specs))
        surroundings = self._surroundings(deadline)
        left = _limit(seconds)
        limit = _ENDLESS if left is None else left
        request = kind(
            names=names,
            specs=tuple(self.specs.values()),
            environments=surroundings.variables,
            directory=self.site.project,
            paths=surroundings.paths,
            store=surroundings.store,
            store_paths=surroundings.store_paths,
            caller=os.getpid(),
            lease=lease,
            seconds=limit,
        )
        connection = connect(self.site, start=True)
        assert connection is not None
        with _abandonable(connection, deadline):
            result = connection.ask(request, limit + self._grace(meant) + _ANSWER, changed)
        statuses = (status.parse(record) for record in result["services"])
        return result["names"], tuple(sorted((one for one in statuses if one.name in meant), key=lambda one: one.name))

    def stop(self, *names: str) -> Stopped:
        """Stop services, even if other processes use them or they were started to stay."""
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
            users=tuple(ServiceUser(**user) for user in result["users"]),
        )

    def status(self, *names: str) -> tuple[ServiceStatus, ...]:
        """Return the state of services, in the order of their names."""
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
        self, *names: str, until: Until = "healthy", seconds: float | Deadline | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Wait until services are `healthy` (ready, without a check), `completed` or `stopped`; return their states."""
        deadline = _deadline(seconds)
        waited = tuple(one.name for one in self.status(*names))
        if not waited:
            raise _no_services()
        connection = connect(self.site, start=False)
        if connection is None:
            if until != "stopped":
                raise ServiceError(f"service `{waited[0]}` is not running", hint="start it first")
            return self.status(*names)
        left = _limit(seconds)
        with _abandonable(connection, deadline):
            limit = None if left is None else left + _ANSWER
            connection.ask(protocol.Wait(names=waited, until=until, seconds=left), limit)
        return self.status(*names)

    def changes(self) -> Iterator[ServiceStatus]:
        """Yield the state of each service, and then each change, for as long as any runs."""
        connection = connect(self.site, start=False)
        if connection:
            yield from connection.changes()

    def logs(self, name: str, count: int | None = None) -> list[str]:
        """Return the last `count` lines of a service's log; without `count`, all that are kept."""
        _check(count, "lines")
        return logs.tail(self._log_paths((name,))[name], count)

    def follow(
        self, *names: str, count: int | None = 0, pause: Callable[[], bool] | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield pairs of service and line: the last `count` lines of each log, then each line that is added.

        `pause` is called between two looks at the logs; its false result ends it. By default it sleeps for 0.1 s.
        """
        _check(count, "lines")
        return logs.follow(self._log_paths(names), pause or _sleep, count=count)

    def keeper(self) -> Holder | None:
        """Return None: the supervisor itself keeps services that are to stay."""
        return None

    def _log_paths(self, names: Iterable[str]) -> dict[str, str]:
        if unknown := [name for name in names if name not in self.specs]:
            self._refuse(unknown)
        return {name: logs.log_path(self.site.logs, name) for name in names or sorted(self.specs)}

    def _grace(self, names: Iterable[str]) -> float:
        """The longest that stopping may take: each may have to wait for the others."""
        return sum(self.specs[name].stop_grace_period for name in names)

    def _refuse(self, unknown: list[str]) -> None:
        raise unknown_service(unknown[0], self.names)


def _deadline(seconds: float | Deadline | None) -> Deadline:
    if isinstance(seconds, Deadline):
        return seconds
    _check(seconds, "seconds")
    return Deadline(seconds)


def _limit(seconds: float | Deadline | None) -> float | None:
    """Return the seconds that the supervisor is told: the number that was given, or what is left of a deadline."""
    return seconds.left() if isinstance(seconds, Deadline) else seconds


@contextmanager
def _abandonable(connection: Connection, deadline: Deadline) -> Iterator[None]:
    """Take the request on a connection back when its deadline is given up, from whichever thread."""
    try:
        with deadline.telling(connection.abort):
            yield
    except ServiceError:
        if deadline.is_abandoned:
            raise Abandoned from None
        raise


def _check(number: float | None, unit: str) -> None:
    if number is not None and not 0 <= number <= _MOST:
        raise UsageError(f"`{number:g}` {unit} cannot be used", hint=f"give a number from 0 to {_MOST}")


def _no_services() -> ServiceError:
    return ServiceError("this environment has no services", hint="declare one in `[services]`")


def _lease(pid: int, token: str) -> Lease:
    if process_table.entry(pid) is None:
        raise ServiceError(f"there is no process {pid} for which services could run")
    return Lease(token, process_id.of(pid))


def _sleep() -> bool:
    time.sleep(_PAUSE)
    return True
