"""The supervised chamber: how a command controls the services of one environment through its supervisor."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.errors import HostError, ServiceError, SupervisorEnded, UsageError
from esker.host import process_id, process_table
from esker.host.clock import Abandoned, Deadline
from esker.host.frozen_dataclass import replaced
from esker.host.interruption import plain
from esker.services import graph, received, status
from esker.services.chamber import (
    START_SECONDS,
    Leased,
    ServiceUser,
    Stopped,
    not_in_a_container,
    unknown_service,
)
from esker.services.compose.waiting import await_containers
from esker.services.status import UNKNOWN, ServiceStatus
from esker.services.supervised import failed_starts, logs, predecessor, protocol, sudden_end
from esker.services.supervised.protocol import Lease
from esker.services.supervised.rendezvous import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from esker.activate.active import Begun
    from esker.formats.service_handle import Holder
    from esker.services.chamber import Changed, Volumes
    from esker.services.compose.direct import Containers
    from esker.services.compose.unreadable import Unreadable
    from esker.services.specification import ServiceSpec
    from esker.services.status import Until
    from esker.services.supervised.connection import Connection
    from esker.services.supervised.site import Site

__all__ = ["Supervised", "Surroundings"]

_ANSWER = 20.0
"""Seconds to wait for a simple answer; added to the limit of a request that has one."""
_PAUSE = 0.1
_MOST = 1_000_000_000
"""The greatest limit in seconds, and the most lines of a log, that a caller may give; the system allows more."""
_STOPPED = {
    **status.KINDS,
    "ServiceUser": lambda given: received.record(ServiceUser, given, {"ServiceUser.pid": received.pid}),
}


class Surroundings(NamedTuple):
    """What services get from the environment when they start."""

    variables: Mapping[str, Mapping[str, str]]
    """All variables of each service, by the service's name."""
    paths: tuple[str, ...] = ()
    """Paths that services must be able to enter and run, besides the project: the store, the interpreter."""
    store: str = ""
    """The root directory of the store that holds `store_paths`."""
    store_paths: tuple[str, ...] = ()
    """Paths that garbage collection must spare while the services run."""
    begun: Begun | None = None
    """The activation that they come from, to be ended by this process and to be shared with the supervisor."""


class Supervised:
    """The services of an environment, which a supervisor runs; implements Chamber.

    `surroundings` is called only when services start, with their names, because it may lock, install and run the
    project's code.
    """

    def __init__(
        self,
        site: Site,
        specs: Mapping[str, ServiceSpec],
        surroundings: Callable[[Collection[str], Deadline], Surroundings],
        containers: Containers | Unreadable | None = None,
        remarks: tuple[str, ...] = (),
    ) -> None:
        self.site = site
        self._containers = containers
        self.specs = dict(specs)
        self.like_flox = False
        """See Chamber."""
        self._remarks = remarks
        self._surroundings = surroundings

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know before services start."""
        earlier = predecessor.note(self.site)
        return self._remarks if earlier is None else (*self._remarks, earlier)

    @property
    def unreadable(self) -> str | None:
        """Why nobody can say which services the Compose files have; None if that is known."""
        return self._containers.unread if self._containers is not None else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the declared services, sorted."""
        return tuple(sorted(self.specs))

    @plain
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
        kind = partial(protocol.StartRequest, recreate=recreate)
        return self._start(kind, names, seconds, changed)[1]

    @plain
    def restart(
        self, *names: str, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> dict[str, str]:
        """Stop services that run and start them with new variables; return `restarted` or `started` for each."""
        words: dict[str, str] = self._start(protocol.RestartRequest, names, seconds, changed)[0]
        return words

    @plain
    def lease(
        self,
        *names: str,
        seconds: float | Deadline = START_SECONDS,
        changed: Changed | None = None,
        pid: int | None = None,
        token: str | None = None,
    ) -> Leased:
        """Start services as `start` does; they run until the process `pid` (by default this one) ends.

        Any process that knows `pid` and `token` can end the lease with `release`.
        """
        lease = _lease(os.getpid() if pid is None else pid, token or os.urandom(8).hex())
        statuses = self._start(protocol.StartRequest, names, seconds, changed, lease)[1]
        return Leased(statuses, lambda: self._release(lease))

    @plain
    def release(self, pid: int, token: str) -> None:
        """End the lease of a process under a token, and stop the services that nobody else uses."""
        self._release(_lease(pid, token))

    def _release(self, lease: Lease) -> None:
        connection = connect(self.site, start=False)
        if connection:
            connection.ask(protocol.ReleaseRequest(lease=lease), _ANSWER)

    def _start(
        self,
        kind: Callable[..., protocol.StartRequest],
        names: tuple[str, ...],
        seconds: float | Deadline,
        changed: Changed | None,
        lease: Lease | None = None,
    ) -> tuple[Any, tuple[ServiceStatus, ...]]:
        """Ask for a start or restart; return the `names` of the answer, and the states of the chosen services.

        If another thread abandons the deadline meanwhile, the request is cancelled (see `Deadline.telling`).
        """
        deadline = _deadline(seconds)
        graph.check_dependencies(self.specs)
        if self._containers is not None:
            self._containers.check(self.specs, names)
        if not self.specs:
            raise _no_services()
        chosen = set(graph.with_dependencies(self.specs, names or self.specs))
        surroundings = self._surroundings(chosen, deadline)
        left = _limit(seconds)
        limit = protocol.ENDLESS if left is None else left
        request = kind(
            names=names,
            specs=tuple(self.specs.values()),
            environments=surroundings.variables,
            directory=self.site.project,
            paths=surroundings.paths,
            store=surroundings.store,
            store_paths=surroundings.store_paths,
            caller=os.getpid(),
            like_flox=self.like_flox,
            lease=lease,
            seconds=limit,
        )
        try:
            connection = connect(self.site, start=True)
            assert connection is not None
            with _shared(surroundings.begun, connection), _abandonable(connection, deadline):
                result = connection.ask(request, limit + connection.grace + _ANSWER, changed)
        finally:
            if surroundings.begun:
                surroundings.begun.end()
        statuses = _statuses(_part(result, "services"))
        return _part(result, "names"), tuple(
            sorted((it for it in statuses if it.name in chosen), key=lambda it: it.name)
        )

    @plain
    def stop(self, *names: str, force: bool = False) -> Stopped:
        """Stop services, even if other processes use them or they were started to stay.

        Containers that somebody else has started are stopped with `force` alone.
        """
        names = tuple(dict.fromkeys(names))
        connection = connect(self.site, start=False)
        orphans = [name for name in self._orphans() if name in names or not names]
        unknown = [name for name in names if name not in {*self.specs, *self._contained, *orphans}]
        if unknown and not (connection and set(unknown) <= {service.name for service in self._running() or ()}):
            if connection:
                connection.close()
            self._refuse(unknown)
        if connection is None:
            contained = [name for name in names if name in {*self._contained, *orphans}]
            asked = self._containers if contained or not names else None
            stopped = asked.stop_left_over(contained, force=force) if asked else ()
            return Stopped(stopped=stopped, not_running=tuple(name for name in names if name not in stopped))
        others = tuple(name for name in names if name not in orphans)
        told = Stopped(stopped=(), not_running=())
        if names and not others:
            connection.close()
        else:
            request = protocol.StopRequest(names=others, caller=os.getpid(), force=force)
            try:
                result = connection.ask(request, connection.grace + _ANSWER)
            except SupervisorEnded:  # and so all services have stopped, by another order
                told = replaced(told, not_running=others)
            else:
                with protocol.understood():
                    told = received.record(Stopped, result, _STOPPED)
        # An engine that does not answer keeps none of the others from being stopped.
        left = self._containers.stop_left_over(orphans, force=force) if self._containers and orphans else ()
        return replaced(told, stopped=(*told.stopped, *left))

    def _orphans(self) -> tuple[str, ...]:
        """Return the services that a killed supervisor has left in containers, and that nobody declares any more."""
        recorded = [] if self._containers is None else [*self._containers.recorded]
        names = [name for name in recorded if name not in {*self.specs, *self._contained}]
        if not names:
            return ()
        followed = {service.name for service in self._running() or ()}
        return tuple(name for name in names if name not in followed)

    def volumes(self, name: str) -> Volumes:
        """Return the volumes of a service; raises UsageError if it does not run in a container."""
        return self._container(name)[1]

    @plain
    def reset(
        self, name: str, *, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Remove a service's container and volumes, start it, and run the oneshots that depend on it.

        Raises UsageError if it does not run in a container, and ServiceError if somebody else has started that.
        """
        containers, _ = self._container(name)
        stopped = self.stop(name)
        if stopped.left:
            raise ServiceError(
                f"service `{name}` is not reset: its container ran before Esker used it",
                hint=f"stop it first: esker services stop --force {name}",
            )
        containers.remove(name)
        following = [each.name for each in self.specs.values() if each.oneshot and name in each.depends_on]
        self.restart(name, *following, seconds=seconds, changed=changed)
        killed = {each.service: each for each in stopped.killed}  # the restart did not have to stop it again
        statuses = self.status(name, *following)
        return tuple(replaced(each, killed=killed.get(each.name, each.killed)) for each in statuses)

    def _container(self, name: str) -> tuple[Containers | Unreadable, Volumes]:
        if name not in self.specs:
            self._refuse([name])
        if self._containers is None or self.specs[name].container is None:
            raise not_in_a_container(name)
        return self._containers, self._containers.volumes(name)

    @plain
    def status(self, *names: str) -> tuple[ServiceStatus, ...]:
        """Return the states of services, sorted by name."""
        running = self._running()
        note = (predecessor.note(self.site) or sudden_end.note(self.site)) if running is None else None
        statuses = {name: ServiceStatus(name=name, ports=spec.ports, note=note) for name, spec in self.specs.items()}
        # A service that was taken out of the manifest is shown for as long as it still runs.
        statuses |= {it.name: it for it in running or () if it.name in self.specs or it.pid is not None}
        if self.unreadable:  # a container has no log of ours, and by which definition it runs is not known
            statuses = {name: it if it.log else replaced(it, outdated=False) for name, it in statuses.items()}
        statuses |= self._outside(statuses)
        for name, failure in failed_starts.read(self.site).items():
            if name in statuses and statuses[name].status in {"Stopped", UNKNOWN}:
                statuses[name] = replaced(statuses[name], message=f"its last start failed: {failure}")
        if unknown := [name for name in names if name not in statuses]:
            self._refuse(unknown)
        return tuple(statuses[name] for name in sorted({*names} or statuses))

    def _outside(self, statuses: Mapping[str, ServiceStatus]) -> dict[str, ServiceStatus]:
        """Return the state of services whose containers run, and which no supervisor has started or follows."""
        stopped = {name: statuses.get(name) or ServiceStatus(name=name) for name in self._contained}
        stopped = {name: status for name, status in stopped.items() if status.status == "Stopped"}
        if self._containers is None or not (stopped or {*self._containers.recorded} - statuses.keys()):
            return {}
        found = self._containers.found(stopped)
        return {name: status for name, status in found.items() if name in stopped or name not in statuses}

    @property
    def _contained(self) -> tuple[str, ...]:
        """The services that run in containers; if the declaration cannot be used by now, as it last was."""
        if self.specs or self._containers is None:
            return tuple(name for name, spec in self.specs.items() if spec.container is not None)
        return tuple(self._containers.services)

    def _running(self) -> tuple[ServiceStatus, ...] | None:
        """Return what the supervisor says of its services, or None if there is no supervisor."""
        connection = connect(self.site, start=False)
        if connection is None:
            return None
        request = protocol.StatusRequest(specs=tuple(self.specs.values()))
        return _statuses(connection.ask(request, _ANSWER))

    @plain
    def wait(
        self, *names: str, until: Until = "healthy", seconds: float | Deadline | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Wait until services are `healthy` (ready, if unchecked), `completed` or `stopped`; return their states."""
        deadline = _deadline(seconds)
        statuses = self.status(*names)
        if not statuses:
            raise _no_services()
        if self._containers is not None:
            self._containers.check_known(statuses)
        # The supervisor has set the variables of all services that it runs; others are containers begun by hand.
        outside = [it.name for it in statuses if it.pid is not None and it.environment_set_at is None]
        waited = tuple(it.name for it in statuses if it.name not in outside)
        connection = connect(self.site, start=False)
        if connection is None:
            if waited and until != "stopped":
                raise ServiceError(f"service `{waited[0]}` is not running", hint="start it first")
        elif waited:
            left = _limit(seconds)
            # If somebody ends the supervisor, what was awaited has come: all services have stopped.
            fulfilled = suppress(SupervisorEnded) if until == "stopped" else nullcontext()
            with fulfilled, _abandonable(connection, deadline):
                limit = None if left is None else left + _ANSWER
                connection.ask(protocol.WaitRequest(names=waited, until=until, seconds=left), limit)
        else:
            connection.close()
        if outside:
            await_containers(lambda: self.status(*outside), until, deadline)
        return self.status(*names)

    def changes(self) -> Iterator[ServiceStatus]:
        """Yield the state of each service, and then each changed state, until no service runs."""
        connection = connect(self.site, start=False)
        if connection:
            yield from connection.changes()

    def logs(self, name: str, count: int | None = None) -> list[str]:
        """Return the last `count` lines of a service's log; without `count`, all that rotation has left."""
        _check(count, "lines")
        path = self._log_paths((name,))[name]
        if self._containers is not None and name in self._contained:
            return self._containers.lines(name, count)
        return logs.tail(path, count)

    def follow(
        self, *names: str, count: int | None = 0, pause: Callable[[], bool] | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield (service, line): the last `count` lines of each log, then each line that is added.

        `pause` is called between two looks at the logs, and following ends if it returns false. By default it sleeps
        for 0.1 s.
        """
        _check(count, "lines")
        paths = self._log_paths(names)
        contained = [name for name in paths if name in self._contained]
        streams = self._containers.streams(contained, count, leaves_out=not names) if self._containers else {}
        own = {name: path for name, path in paths.items() if name not in contained}
        return logs.follow(own, pause or _sleep, count=count, streams=streams)

    def keeper(self) -> Holder | None:
        """Return None: the supervisor keeps services running without any other process."""
        return None

    def _log_paths(self, names: Iterable[str]) -> dict[str, str]:
        """Return the path of the log of each service; one that is declared no more may have left one."""
        paths = {name: f"{self.site.logs}/{logs.log_name(name)}" for name in names or sorted(self.specs)}
        known = {*self.specs, *self._contained}
        if unknown := [name for name, path in paths.items() if name not in known and not os.path.exists(path)]:
            self._refuse(unknown)
        return paths

    def _refuse(self, unknown: list[str]) -> None:
        if self._containers is not None:
            self._containers.check(self.specs, unknown)
        raise unknown_service(unknown[0], self.names)


def _part(result: Any, name: str) -> Any:
    with protocol.understood():
        if not isinstance(result, dict) or name not in result:
            raise ValueError(f"`{name}` is missing")
        return result[name]


def _statuses(records: Any) -> tuple[ServiceStatus, ...]:
    with protocol.understood():
        statuses: tuple[ServiceStatus, ...] = received.value(
            "tuple[ServiceStatus, ...]", records, {"ServiceStatus": status.parse}
        )
        return statuses


def _deadline(seconds: float | Deadline | None) -> Deadline:
    if isinstance(seconds, Deadline):
        return seconds
    _check(seconds, "seconds")
    return Deadline(seconds)


def _limit(seconds: float | Deadline | None) -> float | None:
    """Return the limit to send to the supervisor: the given seconds, or those left until the deadline."""
    return seconds.left() if isinstance(seconds, Deadline) else seconds


@contextmanager
def _shared(begun: Begun | None, connection: Connection) -> Iterator[None]:
    """Let the supervisor take part in the activation, from before the services start until the supervisor ends."""
    if begun is None:
        yield
        return
    try:
        complete = begun.share(connection.supervisor)
    except BaseException:
        connection.close()
        raise
    try:
        yield
    finally:
        with suppress(HostError, OSError):  # the services have started or failed all the same
            complete()


@contextmanager
def _abandonable(connection: Connection, deadline: Deadline) -> Iterator[None]:
    """Within the block, cancel the request on `connection` if any thread abandons the deadline."""
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
        raise ServiceError(f"there is no process {pid} to run services for")
    return Lease(token, process_id.of(pid))


def _sleep() -> bool:
    time.sleep(_PAUSE)
    return True
