"""Services for programs that were written for Flox, and a handle by which another program can stop them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, overload

from esker.environment import Environment
from esker.errors import EskerError, NotFound, NotTrusted
from esker.flox.engine import engine_name, runtime_name
from esker.flox.project import check_exists, find_flox_project
from esker.formats import service_handle
from esker.formats.service_handle import SavedServices, ServiceInfo
from esker.host import files
from esker.host.clock import Deadline, timestamp
from esker.host.interruption import plain
from esker.host.worker import in_thread
from esker.services.chamber import START_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.flox.engine import EngineName
    from esker.services.chamber import Chamber
    from esker.services.status import ServiceStatus, Until

__all__ = ["FloxServiceHandle", "FloxServices"]


class FloxServices:
    """The services of the project at `path`, found as `Flox` finds it.

    Names choose services; without names every service is meant. What is started here runs until it is stopped, also
    when this process has ended. For services that end with a block of code, use `Flox(path, services=[...])`.
    """

    def __init__(self, path: str | os.PathLike[str], *, engine: EngineName = "auto") -> None:
        self._project = find_flox_project(path, os.getcwd())
        self._engine_name = engine

    def __repr__(self) -> str:
        return f"FloxServices({self._project!r})"

    @property
    def path(self) -> Path:
        """The project directory, absolute."""
        return Path(self._project)

    @cached_property
    def _engine(self) -> str:
        return runtime_name(self._engine_name, self._project)

    @property
    def _chamber(self) -> Chamber:
        check_exists(self._project, self._engine)
        return Environment(self._project, runtime=self._engine).services

    @plain
    def start(self, *services: str, timeout: float = START_SECONDS) -> FloxServiceHandle:
        """Start services and return when they are ready; a service that runs already is left as it is.

        Raises ServiceFailed, or ServicesNotReady after `timeout` seconds; then what this call started has stopped.
        """
        return self._start(services, Deadline(timeout))

    async def astart(self, *services: str, timeout: float = START_SECONDS) -> FloxServiceHandle:  # noqa: ASYNC109 - as start
        """Do as `start`; when the caller is cancelled, what this call started is stopped again."""
        return await in_thread(lambda gone: self._start(services, Deadline(timeout, gone)), FloxServiceHandle.stop)

    def _start(self, services: Sequence[str], deadline: Deadline) -> FloxServiceHandle:
        chamber = self._chamber
        before = {status.name for status in chamber.status() if status.has_started}
        started = chamber.start(*services, seconds=deadline)
        # What was meant, and what was started because that depends on it; what ran before is not ours to stop.
        ours = [each for each in started if not services or each.name in services or each.name not in before]
        saved = SavedServices(
            flox_env_path=self._project,
            started_at=timestamp(),
            services=tuple(map(_info, ours)),
            engine=self._engine,
            holder=chamber.keeper(),
        )
        return FloxServiceHandle(saved)

    @plain
    def stop(self, *services: str) -> None:
        """Stop services, even if other processes use them; those that do not run are left alone."""
        self._chamber.stop(*services)

    async def astop(self, *services: str) -> None:
        """Do as `stop`."""
        await in_thread(lambda _: self.stop(*services))

    @plain
    def restart(self, *services: str, timeout: float = START_SECONDS) -> None:
        """Stop services and start them again, with the manifest and the variables as they are now."""
        self._chamber.restart(*services, seconds=Deadline(timeout))

    async def arestart(self, *services: str, timeout: float = START_SECONDS) -> None:  # noqa: ASYNC109 - as restart
        """Do as `restart`."""
        await in_thread(lambda gone: self._chamber.restart(*services, seconds=Deadline(timeout, gone)))

    def status(self, *services: str) -> list[ServiceInfo]:
        """Return the state of services, by name; an environment without services has none."""
        return list(map(_info, self._chamber.status(*services)))

    @plain
    def wait(self, *services: str, until: Until = "healthy", timeout: float | None = START_SECONDS) -> None:
        """Wait until services are `healthy` (ready, where there is no check), `completed` or `stopped`."""
        self._chamber.wait(*services, until=until, seconds=Deadline(timeout))

    async def await_(
        self,
        *services: str,
        until: Until = "healthy",
        timeout: float | None = START_SECONDS,  # noqa: ASYNC109 - as wait
    ) -> None:
        """Do as `wait`."""
        chamber = self._chamber
        await in_thread(lambda gone: chamber.wait(*services, until=until, seconds=Deadline(timeout, gone)))

    @overload
    def logs(self, service: str, follow: Literal[False] = ..., tail: int | None = None) -> str: ...
    @overload
    def logs(self, service: str, follow: Literal[True], tail: int | None = None) -> Iterator[str]: ...
    def logs(
        self,
        service: str,
        follow: bool = False,  # noqa: FBT001, FBT002 - Angreal's signature
        tail: int | None = None,
    ) -> str | Iterator[str]:
        """Return the last lines of a service's log; with `follow`, an iterator over them and over each new line."""
        chamber = self._chamber
        if follow:
            return _lines(chamber.follow(service, count=tail))
        return "".join(f"{line}\n" for line in chamber.logs(service, tail))


@dataclass(frozen=True, repr=False)
class FloxServiceHandle:
    """Services that run on when this program has ended: what another program needs in order to stop them."""

    _saved: SavedServices

    @property
    def flox_env_path(self) -> Path:
        """The project directory."""
        return Path(self._saved.flox_env_path)

    @property
    def services(self) -> list[ServiceInfo]:
        """The services, in the states that they had when all were ready."""
        return list(self._saved.services)

    @property
    def started_at(self) -> str:
        """When they were ready, in UTC."""
        return self._saved.started_at

    def __repr__(self) -> str:
        names = [service.name for service in self._saved.services]
        return f"FloxServiceHandle(services={names!r}, started_at={self.started_at!r})"

    @plain
    def stop(self) -> None:
        """Stop the services of this handle that still run, and no others; a second call does nothing.

        Raises NotFound when the project is gone; services that Flox ran have been ended then.
        """
        saved = self._saved
        if not os.path.isdir(f"{saved.flox_env_path}/.flox"):
            self._end_holder()
        runtime = saved.engine or engine_name("auto")
        check_exists(saved.flox_env_path, runtime)
        chamber = Environment(saved.flox_env_path, runtime=runtime).services
        names = {service.name for service in saved.services}
        running = [status.name for status in chamber.status() if status.pid]
        ours = [name for name in running if name in names]
        if ours:
            chamber.stop(*ours)
        if set(running) <= names:
            self._end_holder()
        self._remove_saved()

    def _remove_saved(self) -> None:
        """Remove the project's own file if this handle is what it holds: it leads to nothing any more."""
        place = os.path.join(self._saved.flox_env_path, service_handle.NAME)
        with suppress(OSError, EskerError), open(place, "rb", opener=files.plain) as file:
            if service_handle.parse(file.read(), place) == self._saved:
                os.unlink(place)

    def _end_holder(self) -> None:
        """End the process that keeps Flox's services alive, if the handle names one."""
        if self._saved.holder is not None:
            from esker.activate.flox import holder

            holder.end(self._saved.holder)

    async def astop(self) -> None:
        """Do as `stop`."""
        await in_thread(lambda _: self.stop())

    def save(self, path: str | os.PathLike[str] = service_handle.NAME) -> None:
        """Write the handle into a file; a relative path starts at the project directory."""
        files.write(os.path.join(self._saved.flox_env_path, path), service_handle.render(self._saved))

    @classmethod
    def load(cls, path: str | os.PathLike[str] = service_handle.NAME) -> Self:
        """Return the handle that a file holds, written by Esker or by Angreal.

        A relative path starts at the project of the current directory. Raises NotFound when there is no file, or when
        the file was copied with its project: what it names is the original's.
        """
        place = os.path.join(find_flox_project(None, os.getcwd()), path)
        with files.refused("read", place):
            try:
                with open(place, "rb", opener=files.plain) as file:
                    owner, data = os.fstat(file.fileno()).st_uid, file.read()
            except FileNotFoundError:
                hint = "start services and save their handle first"
                raise NotFound(f"there is no saved handle at `{place}`", hint=hint) from None
        if owner not in {0, os.geteuid()}:
            hint = "it names processes to end: remove it, and stop the services by name"
            raise NotTrusted(f"`{place}` belongs to uid {owner}", hint=hint)
        saved = service_handle.parse(data, place)
        if _is_copied(saved, place):
            hint = "remove it, or load it in that project"
            raise NotFound(f"`{place}` was copied: its services are those of `{saved.flox_env_path}`", hint=hint)
        return cls(saved)


def _is_copied(saved: SavedServices, place: str) -> bool:
    """Return whether the file lies in one project and names another, which still exists, as in a copied checkout.

    A person may save a handle anywhere, under any name: only a file in the usual place belongs to the project there.
    """
    directory, name = os.path.split(os.path.realpath(place))
    if name != service_handle.NAME or not os.path.isdir(f"{directory}/.flox"):
        return False
    try:
        return not os.path.samefile(f"{directory}/.flox", f"{saved.flox_env_path}/.flox")
    except (OSError, ValueError):  # the project was moved, or is gone: `stop` tells
        return False


def _info(found: ServiceStatus) -> ServiceInfo:
    return ServiceInfo(found.name, found.status, found.pid, found.exit_code, found.health)


def _lines(pairs: Iterator[tuple[str, str]]) -> Iterator[str]:
    for _, line in pairs:
        yield line
