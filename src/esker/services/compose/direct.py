"""What a command asks the container engine itself: logs, and containers whose supervisor was killed."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import CommandFailed, ServiceError
from esker.host import process
from esker.services.chamber import Volumes
from esker.services.compose.container import LABEL, parse_containers, read_started, refused, write_started
from esker.services.status import ServiceStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from subprocess import CompletedProcess, Popen

    from esker.activate.compose.project import ComposeProject
    from esker.services.compose.container import Container

__all__ = ["Containers"]

_SECONDS = 60.0
_CHUNK = 1 << 16
_LEFT = "its supervisor was killed: `esker services start` takes it over, `esker services stop` stops it"


class Containers:
    """The containers of a Compose project, for a command; raises ServiceError for what the engine refuses."""

    def __init__(self, project: ComposeProject, dot_flox: str) -> None:
        self._project = project
        self._dot_flox = dot_flox

    def lines(self, service: str, count: int | None) -> list[str]:
        """Return the last `count` lines of a service's log; without `count`, all that the engine has kept."""
        if count == 0 or (found := self._id(service)) is None:
            return []
        done = self._run("logs", *(() if count is None else ("--tail", str(count))), found, check=False)
        if done.returncode:
            raise refused(done.stderr)
        return [*done.stdout.splitlines(), *done.stderr.splitlines()]  # the container's two outputs

    def stream(self, service: str, count: int | None) -> _Stream:
        """Return the last `count` lines of a service's log and what is added to it; nothing if it has no container."""
        found = self._id(service)
        if found is None:
            return _Stream(None)
        words = ["docker", "logs", "--follow", "--tail", "all" if count is None else str(count), found]
        return _Stream(process.following(words, self._project.variables))

    def left_over(self, declared: Mapping[str, ServiceStatus]) -> dict[str, ServiceStatus]:
        """Return the state of those declared services whose containers run although there is no supervisor."""
        return {
            name: ServiceStatus(
                name=name,
                status="Running",
                pid=each.pid or None,
                health=each.health,
                ready=each.health in {None, "healthy"},
                ports=declared[name].ports,
                note=_LEFT,
                container=each.name,
            )
            for name, each in self._started().items()
            if name in declared
        }

    def stop_left_over(self, names: Collection[str]) -> tuple[str, ...]:
        """Stop the containers of services, or of all, that a killed supervisor has left; return the services."""
        started = self._started()
        wanted = [name for name in started if not names or name in names]
        if wanted:
            self._run("stop", *(started[name].id for name in wanted))
            left = {name: each for name, each in read_started(self._dot_flox).items() if name not in wanted}
            write_started(self._dot_flox, left)
        return tuple(wanted)

    def volumes(self, service: str) -> Volumes:
        """Return the volumes of a service."""
        described = self._project.services[service]
        return Volumes(described.volumes, described.external_volumes)

    def remove(self, service: str) -> list[str]:
        """Remove a service's stopped container and the volumes of this project that it uses; return the volumes' names.

        External volumes are left, and so are those that a container of another service uses.
        """
        found = self._id(service)
        volumes = list(self._project.services[service].volumes)
        if found is not None:
            self._run("rm", found)
        removed = []
        for volume in volumes:
            done = self._run("volume", "rm", volume, check=False)
            if done.returncode and "no such volume" not in done.stderr.lower():
                raise ServiceError(
                    f"the volume `{volume}` of `{service}` cannot be removed: {_last(done.stderr)}",
                    hint="stop the services that use it too, and try again",
                )
            if not done.returncode:
                removed.append(volume)
        return removed

    def _started(self) -> dict[str, Container]:
        """Return the running containers that Esker has started, by service; those of other projects do not count."""
        recorded = read_started(self._dot_flox)
        if not recorded:
            return {}
        try:
            done = self._run("inspect", "--type", "container", *recorded.values(), check=False)
        except CommandFailed:  # there is no `docker` any more
            return {}
        with suppress(ValueError):
            found = parse_containers(done.stdout)
            return {each.service: each for each in found if each.runs and each.project == self._project.name}
        return {}

    def _id(self, service: str) -> str | None:
        filters = [f"label={LABEL}.project={self._project.name}", f"label={LABEL}.service={service}"]
        filters += [f"label={LABEL}.oneoff=False"]
        words = [word for each in filters for word in ("--filter", each)]
        listed = self._run("ps", "-a", "-q", "--no-trunc", *words).stdout.split()
        return listed[0] if listed else None

    def _run(self, *words: str, check: bool = True) -> CompletedProcess[str]:
        project = self._project
        done = process.run(
            ["docker", *words], environ=project.variables, cwd=project.directory, timeout=_SECONDS, check=False
        )
        if check and done.returncode:
            raise refused(done.stderr)
        return done


class _Stream:
    """The lines that a program writes, as they come."""

    def __init__(self, program: Popen[bytes] | None) -> None:
        self._program = program
        self._rest = b""
        if program is not None and program.stdout is not None:
            os.set_blocking(program.stdout.fileno(), False)

    def lines(self) -> list[str]:
        """Return the lines that have come since the last call."""
        if self._program is None or self._program.stdout is None:
            return []
        with suppress(BlockingIOError):
            *lines, self._rest = (self._rest + os.read(self._program.stdout.fileno(), _CHUNK)).split(b"\n")
            return [line.decode(errors="replace") for line in lines]
        return []

    def close(self) -> None:
        """End the program."""
        if self._program is not None:
            self._program.kill()
            self._program.communicate()


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
