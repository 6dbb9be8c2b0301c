"""What a command asks the container engine itself: logs, and containers whose supervisor was killed."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from esker.activate.compose.docker_command import ANSWER_SECONDS, GLANCE_SECONDS, answered, engine_refused
from esker.errors import CommandFailed, NoEngine, ServiceError
from esker.host import process
from esker.host.frozen_dataclass import replaced
from esker.services.chamber import Volumes
from esker.services.compose.claims import is_of
from esker.services.compose.container import LABEL, parse_containers, paused, read_started, write_started
from esker.services.compose.unreadable import check_known
from esker.services.status import ServiceStatus, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from subprocess import CompletedProcess, Popen

    from esker.activate.compose.project import ComposeProject
    from esker.services.compose.container import Container
    from esker.services.specification import ServiceSpec

__all__ = ["Containers"]

_SECONDS = 60.0
"""Seconds that the engine may take to stop containers, beyond those that each has to end."""
_CHUNK = 1 << 16
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d")
_AGAIN = 1.0
"""Seconds between two looks for a container that does not run."""
_LEFT = "its supervisor was killed: `esker services start` takes it over, `esker services stop` stops it"
_FOREIGN = "somebody has started its container by hand: `esker services start` uses it and never stops it"


class Containers:
    """The containers of a Compose project, for a command; raises ServiceError for what the engine refuses."""

    def __init__(self, project: ComposeProject, dot_flox: str) -> None:
        self._project = project
        self._dot_flox = dot_flox
        self.unread: str | None = None
        """What a person is told where the Compose files cannot be read: they were."""
        self._problem: ServiceError | None = None
        """Why nobody could look at the containers when they were last looked at."""

    def check(self, specs: Mapping[str, ServiceSpec], names: Collection[str]) -> None:
        """Do nothing: it is known which services run in containers."""

    @property
    def services(self) -> Collection[str]:
        """The names of the services that the Compose files have."""
        return self._project.services.keys()

    @property
    def recorded(self) -> Collection[str]:
        """The names of the services in whose containers Esker has started something, also if the files lost them."""
        return read_started(self._dot_flox).keys()

    def lines(self, service: str, count: int | None) -> list[str]:
        """Return the last `count` lines of a service's log; without `count`, all that the engine has kept."""
        if count == 0 or (found := self._id(service)) is None:
            return []
        tail = () if count is None else ("--tail", str(count))
        done = self._run("logs", "--timestamps", *tail, found, check=False)
        if done.returncode:
            raise engine_refused(done.stderr)
        # The container's two outputs come apart.
        timed = [*_timed(done.stdout), *_timed(done.stderr)]
        return [line for _, line in sorted(timed, key=lambda each: each[0])]

    def streams(self, services: Iterable[str], count: int | None, *, leaves_out: bool) -> dict[str, _Stream]:
        """Return, by service, the last `count` lines of its log, and what is added to it, also by a later run.

        Where there is no engine this leaves out the services, or raises NoEngine.
        """
        try:
            return {service: _Stream(partial(self._following, service), count) for service in services}
        except NoEngine:
            if leaves_out:
                return {}
            raise

    def _following(self, service: str, *options: str) -> Popen[bytes] | None:
        found = self._id(service)
        if found is None:
            return None
        return process.following(
            ["docker", "logs", "--follow", "--timestamps", *options, found], self._project.variables
        )

    def found(self, stopped: Mapping[str, ServiceStatus]) -> dict[str, ServiceStatus]:
        """Return the state of those services whose containers run although no supervisor has started or follows them.

        `stopped` are what is known of them otherwise. If the engine does not say it, the status of each is unknown. A
        container that Esker has started is there too if the Compose files do not have its service any more.
        """
        started = self._recorded_ids()
        try:
            running = self._containers_of_services(GLANCE_SECONDS)
        except ServiceError as error:
            self._problem = error
            note = f"nobody can look at the containers: {error.message}"
            stopped = {name: ServiceStatus(name=name) for name in self.recorded} | dict(stopped)
            return {name: unknown(status, note) for name, status in stopped.items()}
        return {
            name: replaced(
                stopped.get(name) or ServiceStatus(name=name, outdated=True),
                status="Running",
                pid=each.pid or None,
                health=each.health,
                ready=each.health in {None, "healthy"} and each.status == "running",
                message=paused(each) if each.status == "paused" else each.problem,
                note=None if name not in self.services else _LEFT if each.id in started else _FOREIGN,
                container=each.name,
                started_at=each.started_at,
            )
            for name, each in running.items()
            if name in stopped or name not in self.services
        }

    def check_known(self, statuses: Iterable[ServiceStatus]) -> None:
        """Raise NoEngine if one of these services, which are to be waited for, was unknown when it was looked at."""
        check_known(statuses, self._problem)

    def stop_left_over(self, names: Collection[str], *, force: bool) -> tuple[str, ...]:
        """Stop the containers of services, or of all, that a killed supervisor has left; return the services.

        With `force`, those that somebody else has started are stopped too.
        """
        started = self._containers_of_services() if force else self._started()
        wanted = [name for name in started if not names or name in names]
        if wanted:
            limit = _SECONDS + sum(started[name].stop_seconds for name in wanted)
            self._run("stop", *(started[name].id for name in wanted), seconds=limit)
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
        recorded = self._recorded_ids()
        if not recorded:
            return {}
        found = self._containers_of_services()
        return {name: each for name, each in found.items() if each.id in recorded}

    def _recorded_ids(self) -> frozenset[str]:
        return frozenset(read_started(self._dot_flox).values())

    def _containers_of_services(self, seconds: float = ANSWER_SECONDS) -> dict[str, Container]:
        """Return the running containers of the project, by service."""
        filters = (f"label={LABEL}.project={self._project.name}", f"label={LABEL}.oneoff=False")
        words = [word for each in filters for word in ("--filter", each)]
        listed = self._run("ps", "-q", "--no-trunc", *words, seconds=seconds).stdout.split()
        found = self._inspected(*listed) if listed else []
        recorded = self._recorded_ids()
        return {each.service: each for each in found if each.runs and self._is_ours(each, recorded)}

    def _inspected(self, *ids: str) -> list[Container]:
        """Return what the engine says of containers; one that has been removed meanwhile is left out."""
        done = self._run("inspect", "--type", "container", *ids, check=False)
        if done.returncode and "no such" not in done.stderr.lower():
            raise engine_refused(done.stderr)
        try:
            return parse_containers(done.stdout)
        except ValueError as error:
            raise ServiceError(str(error)) from error

    def _is_ours(self, container: Container, recorded: Collection[str]) -> bool:
        project = self._project
        here = is_of(container, os.path.dirname(project.files[0])) and container.project == project.name
        return here and (container.service in project.services or container.id in recorded)

    def _id(self, service: str) -> str | None:
        filters = [f"label={LABEL}.project={self._project.name}", f"label={LABEL}.service={service}"]
        filters += [f"label={LABEL}.oneoff=False"]
        words = [word for each in filters for word in ("--filter", each)]
        listed = self._run("ps", "-a", "-q", "--no-trunc", *words).stdout.split()
        return listed[0] if listed else None

    def _run(self, *words: str, check: bool = True, seconds: float = ANSWER_SECONDS) -> CompletedProcess[str]:
        project = self._project
        done = answered(["docker", *words], project.variables, project.directory, seconds=seconds)
        if check and done.returncode:
            raise engine_refused(done.stderr)
        return done


class _Stream:
    """The lines that the runs of a container write, as they come.

    `docker logs` ends with each run. So it is asked again from the moment of the last line on, which the engine tells
    with each line; its clock may not be ours.
    """

    def __init__(self, begin: Callable[..., Popen[bytes] | None], count: int | None) -> None:
        self._begin = begin
        self._rest = b""
        self._moment = ""
        """That of the latest line."""
        self._passed = ""
        """What was written until then has come from an earlier run of the program."""
        self._since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        self._next = 0.0
        self._follow("--tail", "all" if count is None else str(count))

    def _follow(self, *options: str) -> None:
        self._program = self._begin(*options)
        if self._program is not None and self._program.stdout is not None:
            os.set_blocking(self._program.stdout.fileno(), False)

    def lines(self) -> list[str]:
        """Return the lines that have come since the last call."""
        if self._program is None and time.monotonic() >= self._next:
            with suppress(ServiceError, CommandFailed):  # the engine may come back
                self._passed = self._moment
                self._follow("--since", self._moment or self._since)
            self._next = time.monotonic() + _AGAIN
        if self._program is None or self._program.stdout is None:
            return []
        try:
            data = os.read(self._program.stdout.fileno(), _CHUNK)
        except BlockingIOError:
            return []
        if not data:
            self.close()
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [text for line in lines if (text := self._new(line)) is not None]

    def _new(self, line: bytes) -> str | None:
        """Return a line without its moment; None if it came before, or if it is a message of the command itself."""
        moment, text = _moment(line.decode(errors="replace"))
        if moment <= self._passed or not _MOMENT.match(moment):
            return None
        self._moment = max(moment, self._moment)  # what comes from the two outputs is not always in order
        return text

    def close(self) -> None:
        """End the program."""
        if self._program is not None:
            self._program.kill()
            self._program.communicate()
            self._program = None


def _moment(line: str) -> tuple[str, str]:
    """Return when a line was written, as the engine says it, and the line."""
    moment, _, text = line.partition(" ")
    return moment, text


def _timed(output: str) -> list[tuple[str, str]]:
    """Return when each line of a log was written, and the line.

    Where a line has a carriage return, as those of progress have, reading it as text has made two of it.
    """
    timed: list[tuple[str, str]] = []
    for line in output.split("\n"):
        moment, text = _moment(line)
        if _MOMENT.match(moment):
            timed.append((moment, text))
        elif timed and line:
            timed[-1] = timed[-1][0], f"{timed[-1][1]}\r{line}"
    return timed


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
