"""The supervisor: runs the services of one environment for as long as somebody uses them, and then ends itself.

One rule decides what runs: a service runs while something holds it. A hold is a lease, the kept mark, or a start that
is under way (see `leases`). A failed start gives up its hold, a process that ends loses its lease, and `services stop`
removes every hold. The supervisor stops each service that has no hold left.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, cast

from esker.errors import ServiceError, ServiceFailed, ServicesNotReady
from esker.host import accounts, files, process_table
from esker.host.frozen_dataclass import as_dict
from esker.services import graph
from esker.services.status import ServiceStatus
from esker.services.supervised import conditions, failed_starts, identity, protocol
from esker.services.supervised.children import SERVICE_VARIABLE, Children
from esker.services.supervised.leases import Holds
from esker.services.supervised.logs import LogFile, log_name
from esker.services.supervised.process_service import ProcessService
from esker.services.supervised.programs import RunContext
from esker.services.supervised.site import LOGS
from esker.services.supervised.store_paths import StorePaths
from esker.services.supervised.supervisor_record import SUPERVISOR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from esker.services.compose.container import Container
    from esker.services.specification import ServiceSpec
    from esker.services.states import State
    from esker.services.supervised.container_service import ContainerService
    from esker.services.supervised.engine import Engine
    from esker.services.supervised.service import Service
    from esker.services.supervised.supervisor_record import RecordFile, SupervisorRecord

__all__ = ["Supervisor"]

_LAST_GRACE = 5.0
"""Seconds that all services together may take to stop when nobody uses them or when the supervisor ends."""


class Supervisor:
    """The services of one environment and their holds; calls `released` when services have stopped."""

    def __init__(
        self,
        record_file: RecordFile,
        record: SupervisorRecord,
        *,
        runtime: str,
        logs: int,
        released: Callable[[], object],
    ) -> None:
        self.services: dict[str, Service] = {}
        self.listeners: set[Callable[[ServiceStatus], None]] = set()
        """Called with the new status whenever a service changes."""
        self.store_paths = StorePaths(record)
        self._loop = asyncio.get_running_loop()
        self._record_file = record_file
        self._released = released
        self._token = record.token
        self._runtime = runtime
        self._logs = logs
        self._log_path = "/".join((record.dot_flox, *LOGS))
        self._children = Children(self._loop)
        self._dot_flox = record.dot_flox
        self._holds = Holds(self._loop, self.release)
        self._configured: dict[str, ServiceSpec] = {}
        """The services as they were declared when the first of those that run was started."""
        self._variables_set: dict[str, tuple[float, int]] = {}
        """When each service got its variables, and from which pid."""
        self._changed = asyncio.Event()
        self._stops: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether every service is stopped (one that has completed is not), nobody holds one, and nobody attends."""
        stopped = all(service.state == "Stopped" for service in self.services.values())
        return stopped and not self._stops and not self._holds.held() and not self._holds.attended

    @property
    def grace(self) -> float:
        """The most seconds that stopping may take: the sum, as each service may have to wait for the others."""
        seconds = sum(service.spec.stop_grace_period for service in self.services.values() if service.active)
        return min(seconds, protocol.ENDLESS)

    async def start(self, request: protocol.StartRequest) -> list[str]:
        """Start the services that `request` names and their dependencies; return their names once all are ready.

        If that fails, the services that nothing else holds are stopped again.
        """
        await self._keep(request)
        if request.like_flox and request.lease and not request.names and (running := self._running()):
            self._hold(running, request)  # a second `flox activate -s` starts nothing
            return sorted(running)
        specs = self._merged_specs(request, keeps=request.like_flox)
        names = graph.with_dependencies(specs, request.names or (it for it in specs if it in self._configured))
        call = object()
        self._holds.begin(call, names)
        try:
            if request.recreate:
                outdated = [name for name in names if conditions.is_outdated(self.services.get(name), specs[name])]
                self._check(outdated, specs, request)
                await asyncio.shield(self._stop(outdated))
            await self._bring_up(names, specs, request)
            self._hold(names, request)
        finally:
            self._holds.end(call)
            await asyncio.shield(self.release())
        return names

    async def restart(self, request: protocol.RestartRequest) -> dict[str, str]:
        """Stop the services that run and start all with new variables; return `restarted` or `started` by name.

        A container that somebody else has started runs on, and is `left`.
        With Flox's rules, services that are named while any runs keep their present specification.
        """
        await self._keep(request)
        named = request.names or tuple(spec.name for spec in request.specs)
        running = self._running()
        specs = self._merged_specs(request, keeps=request.like_flox and bool(request.names))
        followers = set(graph.restarted_with(specs, named)) & running
        named = (*named, *(name for name in specs if name in followers and name not in named))
        names = graph.with_dependencies(specs, named)
        call = object()
        self._holds.begin(call, names)
        try:
            self._check([name for name in named if name in running], specs, request)
            left = self._guests(named)
            await asyncio.shield(self._stop([name for name in named if name in self.services]))
            await self._bring_up(names, specs, request)
            self._hold(set(names) - running, request)
        finally:
            self._holds.end(call)
            await asyncio.shield(self.release())
        return {name: "left" if name in left else "restarted" if name in running else "started" for name in named}

    def _check(self, names: Sequence[str], specs: dict[str, ServiceSpec], request: protocol.StartRequest) -> None:
        """Raise ServiceFailed if one of these services, which run, could not be started again by its specification."""
        unreachable = cache(accounts.unreachable)
        freed = {port for name in names for port in self.services[name].spec.ports.values()}
        for name in names:
            self.services[name].check(specs[name], self._context(specs[name], request, unreachable), freed)

    def _guests(self, names: Iterable[str]) -> list[str]:
        """Return those of the services whose containers somebody else has started, so that they are not stopped."""
        existing = {name: _in_container(self.services[name]) for name in names if name in self.services}
        return [name for name, contained in existing.items() if contained is not None and contained.is_a_guest]

    def _running(self) -> set[str]:
        return {name for name, service in self.services.items() if service.active}

    def _merged_specs(self, request: protocol.StartRequest, *, keeps: bool) -> dict[str, ServiceSpec]:
        """Return the specifications in `request`, and those of known services that the request no longer has.

        If this `keeps` to what was declared when the services were started, as Flox does, then while any service runs
        return only the specifications of that time. Raises ServiceError for a name that they do not have.
        """
        if not (keeps and self._running()):
            self._configured = {spec.name: spec for spec in request.specs}
            specs = {name: service.spec for name, service in self.services.items()} | self._configured
            graph.check_dependencies(specs)
            return specs
        for name in request.names:
            if name not in self._configured:
                # Only Flox has this error, so it is worded as Flox words it.
                raise ServiceError(
                    f"Service '{name}' was defined after services were started.\n\n"
                    "To use the service, restart services with 'flox services restart'"
                )
        return dict(self._configured)

    def _hold(self, names: Iterable[str], request: protocol.StartRequest) -> None:
        if request.lease:
            self._holds.take(request.lease, names, attends=request.like_flox)
        else:
            self._holds.kept.update(names)

    async def _keep(self, request: protocol.StartRequest) -> None:
        """Protect the store paths of `request` from garbage collection for as long as this supervisor runs."""

        def recorded() -> None:
            with files.refused("write", self._record_file.path):
                self._write_record()

        await self.store_paths.keep(request.store, request.store_paths, request.seconds, recorded)

    async def _bring_up(self, names: list[str], specs: dict[str, ServiceSpec], request: protocol.StartRequest) -> None:
        failed_starts.forget(self._logs, names)
        try:
            async with asyncio.timeout(request.seconds):
                await self._until(lambda: not any(self._state(name) == "Terminating" for name in names))
                unreachable = cache(accounts.unreachable)
                joined = {name for name in names if not conditions.needs_start(self.services.get(name), specs[name])}
                fresh = [specs[name] for name in names if name not in joined]
                creation = self._creation(fresh, request)
                for spec in fresh:
                    self._begin(spec, request, unreachable, creation)
                unhealthy = {name for name in joined if self.services[name].health == "unhealthy"}
                started = [self.services[name] for name in names]
                await self._until(lambda: conditions.all_ready(started, unhealthy, skips=request.like_flox))
        except TimeoutError:
            late = conditions.too_late(names, self.services, request.seconds)
            failed_starts.record(self._logs, dict.fromkeys(late.services, f"{late.message}; {late.hint}"))
            raise late from None
        except ServiceFailed as failure:
            failed_starts.record(self._logs, {failure.service: failure.message})
            raise

    def _state(self, name: str) -> State:
        return self.services[name].state if name in self.services else "Stopped"

    @cached_property
    def _engine(self) -> Engine:
        from esker.services.supervised.engine import Engine  # most environments have no containers

        return Engine(self._children, self._dot_flox)

    def _creation(
        self, specs: Iterable[ServiceSpec], request: protocol.StartRequest
    ) -> asyncio.Task[dict[str, Container]] | None:
        """Have Compose make the containers of `specs`, if there are any, while other services start."""
        containers = [spec.container for spec in specs if spec.container is not None]
        if not containers:
            return None
        first = next(spec for spec in specs if spec.container is not None)
        self._engine.use(request.environments.get(first.name, {}), request.directory)
        creation = asyncio.create_task(self._engine.made(containers))
        creation.add_done_callback(lambda task: task.cancelled() or task.exception())  # each container raises it
        return creation

    def _begin(
        self,
        spec: ServiceSpec,
        request: protocol.StartRequest,
        unreachable: identity.Unreachable,
        creation: asyncio.Task[dict[str, Container]] | None,
    ) -> None:
        context = self._context(spec, request, unreachable)
        service = self.services.get(spec.name)
        if service is None or (service.spec.container is None) != (spec.container is None):
            service = self.services[spec.name] = self._made(spec)
        if contained := _in_container(service):
            contained.creation = creation
        self._variables_set[spec.name] = (time.time(), request.caller)
        service.begin(spec, context, self._dependencies)

    def _made(self, spec: ServiceSpec) -> Service:
        if spec.container is not None:
            from esker.services.supervised.container_service import ContainerService

            return ContainerService(spec, self._engine, self._service_changed)
        return ProcessService(spec, self._children, LogFile(log_name(spec.name), self._logs), self._service_changed)

    def _context(
        self, spec: ServiceSpec, request: protocol.StartRequest, unreachable: identity.Unreachable
    ) -> RunContext:
        if spec.container is not None:
            return RunContext(request.environments.get(spec.name, {}), request.directory, lenient=request.like_flox)
        # FLOX_ENV_CACHE, where services keep their data.
        state = os.path.dirname(os.path.dirname(self._record_file.path))
        paths = (os.path.dirname(state), *request.paths)
        choice = identity.choose(spec.name, spec.user, request.directory, paths, unreachable)
        if choice.identity:
            for directory in (state, self._runtime):
                accounts.give_directory(directory, choice.identity)
        variables = choice.variables(request.environments.get(spec.name, {}))
        variables |= {SERVICE_VARIABLE: spec.name, SUPERVISOR_VARIABLE: self._token}
        return RunContext(
            variables, request.directory, choice.identity, choice.account.name, choice.note, lenient=request.like_flox
        )

    async def _dependencies(self, service: Service) -> None:
        """Wait until every condition of `service` holds; raise ServiceFailed if one never can."""
        told = conditions.unmet(service, self.services)

        def fulfilled() -> bool:
            nonlocal told
            conditions.check_possible(service, self.services)
            left = conditions.unmet(service, self.services)
            if left and left != told:  # a start of the service itself is told anyway
                self._tell(service)
            told = left
            return not left

        await self._until(fulfilled)

    async def stop(self, names: Iterable[str], caller: int, *, force: bool = False) -> dict[str, object]:
        """Stop services, even if in use; return which stopped or did not run, how, and which processes used them.

        Containers that somebody else has started are left running unless this uses `force`. Raises ServiceFailed if
        one could not be stopped, after the others have.
        """
        existing = [name for name in names or self.services if name in self.services]
        stopped = [name for name in existing if self.services[name].active]
        processes = process_table.table()
        relatives = {caller, *process_table.ancestors(caller, processes)}
        users = [
            {"service": name, "pid": pid, "program": processes[pid].program}
            for name in stopped
            for pid in self._holds.users(name)
            if pid not in relatives and pid in processes
        ]
        self._holds.forget(existing)
        failed_starts.forget(self._logs, existing)
        left = self._guests(stopped)
        if force:
            for name in left:
                cast("ContainerService", self.services[name]).take_over()
            left = []
        await asyncio.shield(self._stop(existing))
        for name in existing:
            failure = self.services[name].failure
            if self._state(name) == "Error" and failure:
                raise failure
        return {
            "stopped": [name for name in stopped if name not in left],
            "left": left,
            "not_running": [name for name in names if name not in stopped],
            "users": users,
            "killed": [as_dict(killed) for name in stopped if (killed := self.services[name].killed)],
        }

    def release(self) -> asyncio.Task[None]:
        """Stop the services that nothing holds."""
        held = self._holds.held()
        return self._stop([n for n in self.services if n not in held and self._state(n) != "Stopped"], _LAST_GRACE)

    async def give_back(self, lease: protocol.Lease) -> None:
        """End a lease, and stop the services that only this lease held."""
        self._holds.release(lease)
        await asyncio.shield(self.release())

    def _stop(self, names: list[str], limit: float | None = None) -> asyncio.Task[None]:
        """Stop `names` in a task of its own, which goes on even if the client that asked for it goes away."""
        task = asyncio.create_task(self._stop_in_order(names, limit))
        self._stops.add(task)
        task.add_done_callback(self._has_stopped)
        return task

    def _has_stopped(self, task: asyncio.Task[None]) -> None:
        self._stops.discard(task)
        self._released()

    async def stop_all(self) -> None:
        """Stop every service and kill every process that remains and that we may kill, before the supervisor ends."""
        self._holds.close()
        await self._stop(list(self.services), _LAST_GRACE)
        end = self._loop.time() + _LAST_GRACE
        while (living := self._children.all()) and self._loop.time() < end:
            self._children.kill([process for process, _ in living])
            await self._children.change(0.1)

    async def _stop_in_order(self, names: list[str], limit: float | None) -> None:
        """Stop `names`, each after the services that depend on it.

        With a `limit` in seconds for all of them, a service that something holds again by then is left running.
        """
        end = None if limit is None else self._loop.time() + limit
        dependents = graph.dependents({name: service.spec for name, service in self.services.items()})
        tasks: dict[str, asyncio.Task[None]] = {}

        async def stop_one(name: str) -> None:
            await asyncio.gather(*(tasks[other] for other in dependents[name] if other in tasks))
            service = self.services[name]
            grace = service.spec.stop_grace_period
            if end is not None:
                if name in self._holds.held():
                    return  # a new start or lease holds it again
                grace = min(grace, max(0.0, end - self._loop.time()))
            await service.stop(grace)

        tasks |= {name: asyncio.create_task(stop_one(name)) for name in names}
        await asyncio.gather(*tasks.values())

    async def wait(self, request: protocol.WaitRequest) -> None:
        """Wait until services are healthy, completed or stopped; raise ServiceFailed if one never can be."""
        reached = partial(conditions.has_reached, services=self.services, until=request.until)
        try:
            async with asyncio.timeout(request.seconds):
                await self._until(lambda: all(reached(name) for name in request.names))
        except TimeoutError:
            late = [name for name in request.names if not reached(name)]
            obstacles = [self.services[name].obstacle for name in late if name in self.services]
            hint = "allow a longer `--timeout`, or look at the service with `esker services status`"
            raise ServicesNotReady(
                f"{', '.join(f'`{name}`' for name in late)} not {request.until} within {request.seconds:g} s",
                services=late,
                hint="; ".join([*filter(None, obstacles[:1]), hint]) if request.until == "healthy" else hint,
            ) from None

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Wait until `reached` returns true; it is called again after each change of a service."""
        while not reached():
            self._changed.clear()
            await self._changed.wait()

    def _write_record(self) -> None:
        self._record_file.update(self._children.known(), self.store_paths.stores)

    def _service_changed(self, service: Service) -> None:
        self._changed.set()
        with suppress(OSError):
            self._write_record()
        self._tell(service)

    def _tell(self, service: Service) -> None:
        """Give the status of `service` to everyone who watches."""
        status = self.status(service.spec.name)
        for listener in list(self.listeners):
            listener(status)

    def status(self, name: str, declared: Iterable[ServiceSpec] = ()) -> ServiceStatus:
        """Return the present status of a service; without the `declared` services, nothing counts as outdated."""
        service = self.services[name]
        spec, failure, specs = service.spec, service.failure, {one.name: one for one in declared}
        set_at, set_by = self._variables_set.get(name, (None, None))
        incomplete = service.log.problem and f"`{name}`: {service.log.problem}"
        contained = _in_container(service)
        warnings = contained.warnings if contained else ()
        notes = [note for note in (service.context.note, service.remark, incomplete, *warnings) if note]
        return ServiceStatus(
            name=name,
            status=service.state,
            pid=service.pid,
            exit_code=service.exit_code,
            health=service.health,
            ready=service.satisfied,
            ports=spec.ports,
            started_at=service.started_at,
            uptime=service.uptime,
            restarts=service.restarts,
            outdated=bool(specs) and conditions.is_outdated(service, specs.get(name)),
            kept=name in self._holds.kept,
            users=tuple(self._holds.users(name)),
            user=service.context.user or None,
            message=failure.message if failure else service.problem,
            waits_for=conditions.unmet(service, self.services) if service.state == "Pending" else {},
            note="; ".join(notes) or None,
            environment_set_at=set_at,
            environment_set_by=set_by,
            log=None if spec.container else f"{self._log_path}/{log_name(name)}",
            container=contained.container.name if contained and contained.container else None,
            killed=service.killed,
        )


def _in_container(service: Service) -> ContainerService | None:
    """Return a service as one that runs in a container, or None if it does not."""
    return cast("ContainerService", service) if service.spec.container is not None else None
