"""Services in containers where nobody can read the Compose files: what the manifest says of them, and no more."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from esker.errors import NoEngine
from esker.services import graph
from esker.services.compose.container import read_started
from esker.services.specification import ContainerSpec, ServiceSpec
from esker.services.status import UNKNOWN, ServiceStatus, unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import NoReturn

    from esker.declare.declaration import Declaration
    from esker.errors import ServiceError

__all__ = ["Unreadable", "check_known", "named_containers", "needs_containers", "refused"]


class Unreadable:
    """The containers of a Compose project that nobody can read, in place of `Containers`.

    What has to do with a container raises NoEngine.
    """

    services: Collection[str] = ()
    """The names of the services that the Compose files have, as far as they are known."""

    def __init__(self, error: NoEngine, dot_flox: str, *, comes_first: bool, activates: bool) -> None:
        """Take why the files cannot be read, and what follows.

        A service of theirs may come first, before one of [services] of the same name. And the environment may be one
        that nobody activates without them, so that no process of it starts either.
        """
        self.unread: str | None = f"which services the Compose files have cannot be known: {error.message}"
        """What a person is told of that."""
        self._error = error
        self._dot_flox = dot_flox
        self._comes_first = comes_first
        self._activates = activates

    @property
    def recorded(self) -> Collection[str]:
        """The names of the services in whose containers Esker has started something."""
        return read_started(self._dot_flox).keys()

    def check(self, specs: Mapping[str, ServiceSpec], names: Collection[str]) -> None:
        """Raise NoEngine unless these services, and all that they depend on, are processes for certain."""
        if strange := [name for name in names if name not in specs]:
            raise refused(f"whether there is a service `{strange[0]}` cannot be known", self._error)
        if self._comes_first:
            raise NoEngine(
                f"services of the Compose files come before those of [services] here: {self._error.message}",
                hint="take what is declared in [services] from there: --services-from supervised",
            )
        if not names or any(specs[name].container for name in graph.with_dependencies(specs, names)):
            raise needs_containers(self._error, specs, names, advises=self._activates)

    def found(self, stopped: Mapping[str, ServiceStatus]) -> dict[str, ServiceStatus]:
        """Return these services, and those that Esker has started, with a status that says that nobody knows."""
        started = {name: ServiceStatus(name=name) for name in self.recorded}
        return {name: unknown(status, str(self.unread)) for name, status in (started | dict(stopped)).items()}

    def check_known(self, statuses: Iterable[ServiceStatus]) -> None:
        """Raise NoEngine if one of these services, which are to be waited for, is unknown."""
        check_known(statuses, self._error)

    def stop_left_over(self, names: Collection[str], *, force: bool) -> tuple[str, ...]:
        """Raise NoEngine if Esker has started a container, or if more than that is to be stopped."""
        if names or force or self.recorded:
            raise refused("containers of this project cannot be stopped", self._error)
        return ()

    def lines(self, service: str, _count: int | None) -> NoReturn:
        """Raise NoEngine."""
        raise refused(f"the log of `{service}` cannot be read", self._error)

    def streams(self, services: Iterable[str], count: int | None, *, leaves_out: bool) -> dict[str, NoReturn]:
        """Return nothing if this leaves out what nobody can follow; else raise NoEngine for a service."""
        return {} if leaves_out else {service: self.lines(service, count) for service in services}

    def volumes(self, service: str) -> NoReturn:
        """Raise NoEngine."""
        raise refused(f"the volumes of `{service}` cannot be known", self._error)

    def remove(self, service: str) -> NoReturn:
        """Raise NoEngine."""
        self.volumes(service)


def refused(what: str, error: ServiceError) -> NoEngine:
    """Return the error that says `what` cannot be done, and why nobody can look at containers."""
    return NoEngine(f"{what}: {error.message}", hint=error.hint)


def check_known(statuses: Iterable[ServiceStatus], problem: ServiceError | None) -> None:
    """Raise NoEngine if one of these services, which are to be waited for, is unknown because of a `problem`."""
    dark = [status.name for status in statuses if status.status == UNKNOWN]
    if problem is not None and dark:
        raise refused(f"service `{dark[0]}` cannot be waited for", problem)


def needs_containers(
    error: NoEngine, specs: Mapping[str, ServiceSpec], names: Collection[str], *, advises: bool = True
) -> NoEngine:
    """Return the error for a start of services, or of all, that needs containers.

    If it `advises`, it says which of them can be started.
    """
    chosen = graph.with_dependencies(specs, names or specs)
    waiting = [
        f"`{name}` depends on `{target}`, which runs in a container"
        for name in (names and chosen)
        for target in specs[name].depends_on
        if specs[name].container is None and specs[target].container is not None
    ]
    alone = [name for name in graph.without_containers(specs) if name in chosen] if advises else []
    hints = [error.hint, alone and f"what needs no container can be started: esker services start {shlex.join(alone)}"]
    message = f"{waiting[0] if waiting else 'services of this project run in containers'}: {error.message}"
    return NoEngine(message, hint="; ".join(str(each) for each in hints if each) or None)


def named_containers(declaration: Declaration, processes: Mapping[str, ServiceSpec]) -> dict[str, ServiceSpec]:
    """Return the services in containers that the manifest names, without anything else that is known of them.

    It names those that have a table, those that are chosen, and those that processes depend on.
    """
    table = declaration.esker.compose
    declared = declaration.manifest.services.services if declaration.manifest.services else {}
    awaited = {target for spec in processes.values() for target in spec.depends_on if target not in declared}
    names = awaited | ({*table.tables, *table.chosen} if table else set())
    return {
        name: ServiceSpec(
            name=name,
            command="",
            container=ContainerSpec(service=name, project="", directory="", files=(), hashes=()),
        )
        for name in sorted(names)
    }
