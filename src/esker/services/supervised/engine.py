"""The container engine, as the supervisor uses it: Compose makes containers, and Docker's command runs each by its id.

Everything goes through the `docker` command, so contexts, remote engines, credentials and Podman's socket work as they
do for the user. One process, `docker events`, tells of every change; what has changed is then read with
`docker inspect`. If that process ends, the engine has ended, and so every wait for a container ends too.

A file below `.flox/cache` has the ids of the containers that Esker has started. It outlives a killed supervisor, so the
next one finds them. A label on the container would not do: it would change what Compose compares, and a hand-typed
`docker compose up` would make the container anew.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.activate.compose.docker_command import (
    ANSWER_SECONDS,
    compose_command,
    compose_warnings,
    engine_refused,
    engine_silent,
    orphans,
)
from esker.errors import ServiceError
from esker.host.spawn import Program, SpawnRefused
from esker.services.compose import claims
from esker.services.compose.container import LABEL, Container, parse_containers, read_started, write_started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from esker.services.specification import ContainerSpec
    from esker.services.supervised.children import Child, Children

__all__ = ["Engine"]

_OWNER = "\0engine"
"""The owner of the engine's commands among the supervisor's children; the NUL keeps it apart from any service."""
_LONGEST = 16 << 20
"""Bytes of a command's output."""
_MAKING_SECONDS = 300.0
"""Seconds within which Compose must have made containers; their images are there."""
_LOG_READS = 6
_LOG_READ_SECONDS = 0.2
"""How often an empty log is read, and how long we wait between."""
_EVENTS = ("create", "start", "die", "health_status", "destroy", "remove", "oom", "pause", "unpause", "rename")
"""Docker tells that a container is destroyed, Podman that it is removed."""


class Engine:
    """The container engine of one environment; raises ServiceError for what it refuses."""

    def __init__(self, children: Children, dot_flox: str) -> None:
        self._children = children
        self._dot_flox = dot_flox
        self._loop = asyncio.get_running_loop()
        self._composing = asyncio.Lock()
        self._variables: Mapping[str, str] = {}
        self._directory = "/"
        self._project: str | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._changes: dict[str, asyncio.Event] = {}
        self._started = read_started(dot_flox)
        self.warnings: dict[str, list[str]] = {}
        """What Compose has warned of when it made the container of each service."""
        self.lost: str | None = None
        """Why the engine cannot be watched any more; None while it can be."""

    # -- What Esker has started

    def has_started(self, container: Container) -> bool:
        """Return whether Esker, and nobody else, has started this container."""
        return self._started.get(container.service) == container.id

    def remember(self, container: Container) -> None:
        """Write down that Esker starts this container; called before the start, so that no kill comes between."""
        self._write(self._started | {container.service: container.id})

    def forget(self, container: Container) -> None:
        """Write down that Esker has stopped this container."""
        if self._started.get(container.service) == container.id:
            self._write({name: each for name, each in self._started.items() if name != container.service})

    def _write(self, started: dict[str, str]) -> None:
        write_started(self._dot_flox, started)
        self._started = started

    # -- Commands

    def use(self, variables: Mapping[str, str], directory: str) -> None:
        """Run the commands from now on with these variables, in this directory."""
        self._variables, self._directory = variables, directory

    async def made(self, specs: Iterable[ContainerSpec]) -> dict[str, Container]:
        """Return the container of each service, made by Compose if it is missing or stopped and of another definition.

        One that was made by hand, without the ports that Esker has chosen, is of another definition. Networks and
        volumes are made with them. Nothing is started, and no running container is touched.
        """
        wanted = {spec.service: spec for spec in specs}
        first = next(iter(wanted.values()))
        async with self._composing:  # two at once make two networks of one name
            existing = await self._existing(first.project)
            claims.check_directory(first, existing.values())
            await self._check_claims(wanted.values())
            missing = [name for name in wanted if name not in existing]
            older = [
                name
                for name, spec in wanted.items()
                if name in existing and not existing[name].runs and existing[name].hash != spec.hashes[0]
            ]
            told = ""
            for names, option in ((missing, ("--no-recreate",)), (older, ())):
                if names:
                    words = compose_command(first.files, first.project)
                    words += ["up", "--no-start", "--no-deps", "--quiet-pull", *option, *names]
                    told += await self._run(*words, seconds=_MAKING_SECONDS)
            if missing or older:
                self.warnings.update(dict.fromkeys([*missing, *older], self._warnings(told, existing.values())))
                existing = await self._existing(first.project)
        for name in wanted:
            if name not in existing:
                raise ServiceError(f"Compose made no container for the service `{name}`")
        self._watch(first.project, max(each.last_change for each in existing.values()))
        return {name: existing[name] for name in wanted}

    def _warnings(self, told: str, existing: Iterable[Container]) -> list[str]:
        """Return what Compose has warned of, with those orphans that run and that Esker has not started."""
        names = orphans(told)
        strangers = [each.name for each in existing if each.name in names and each.runs and not self.has_started(each)]
        listed = [f"`{name}` still runs, but the Compose files do not have its service" for name in strangers]
        return [*compose_warnings(told), *listed]

    async def _check_claims(self, specs: Iterable[ContainerSpec]) -> None:
        """Raise ServiceError for a name or a volume that a container of another checkout has."""
        for spec in specs:
            names = [spec.container_name] if spec.container_name else []
            for volume in spec.shared_volumes:
                names += (await self._run("docker", "ps", "-q", "--filter", f"volume={volume}")).split()
            for container in await self.inspect(*names):
                claims.check(spec, container)

    async def _existing(self, project: str) -> dict[str, Container]:
        """Return the containers of the project by service, the one with the lowest number where there are several."""
        label = f"label={LABEL}.project={project}"
        once = f"label={LABEL}.oneoff=False"
        listed = await self._run("docker", "ps", "-a", "-q", "--no-trunc", "--filter", label, "--filter", once)
        found = await self.inspect(*listed.split())
        return {each.service: each for each in sorted(found, key=lambda each: each.name, reverse=True)}

    async def inspect(self, *ids: str) -> list[Container]:
        """Return what the engine says of containers now; those that do not exist are left out."""
        if not ids:
            return []
        status, text = await self._output("docker", "inspect", "--type", "container", *ids)
        if status and "no such" not in text.lower():
            raise engine_refused(text)
        try:
            return parse_containers(text if not status else text[text.index("[") : text.rindex("]") + 1])
        except ValueError as error:
            if status:
                return []
            raise ServiceError(str(error)) from error

    async def start(self, container: Container) -> None:
        """Start a container."""
        await self._run("docker", "start", container.id)

    async def stop(self, container: Container, grace: float) -> None:
        """Ask a container to end, and kill it after `grace` seconds; it is no error if it has gone."""
        words = ("docker", "stop", "--time", str(max(0, round(grace))), container.id)
        status, text = await self._output(*words, seconds=grace + ANSWER_SECONDS)
        if status and "no such" not in text.lower():
            raise engine_refused(text)

    async def kill(self, container: Container) -> None:
        """Kill a container at once, if it still runs."""
        await self._output("docker", "kill", container.id)

    async def attempt(self, container: Container) -> tuple[int, str]:
        """Run a container's health check in it; return its exit status and what it printed."""
        assert container.check is not None
        words = ("docker", "exec", container.id, *container.check.words)
        return await self._output(*words, seconds=container.check.timeout + ANSWER_SECONDS)

    async def last_lines(self, container: Container, count: int) -> list[str]:
        """Return the last lines of a container's log; none if the engine does not give them.

        What a container writes reaches the engine's log later than its end or its health check's result reaches us, on
        a busy machine. So an empty log is read again for a second.
        """
        for attempt in range(_LOG_READS):
            if attempt:
                await asyncio.sleep(_LOG_READ_SECONDS)
            status, text = await self._output("docker", "logs", "--tail", str(count), container.id)
            if status or text:
                break
        return text.splitlines()[-count:]

    # -- Changes

    def change(self, container: Container) -> asyncio.Event:
        """Return the event that is set whenever something happens to a container, or the engine is lost."""
        return self._changes.setdefault(container.id, asyncio.Event())

    def _watch(self, project: str, since: float) -> None:
        """Follow what happens to the containers of a project from a moment on, by the engine's clock.

        It must lie before the moment at which somebody looked at them. What is told twice only makes us look twice.
        """
        if self._watcher is not None and not self._watcher.done() and self._project == project:
            return
        if self._watcher is not None:
            self._watcher.cancel()
        self.lost, self._project = None, project
        kinds = [word for kind in _EVENTS for word in ("--filter", f"event={kind}")]
        label = f"label={LABEL}.project={project}"
        words = ("docker", "events", "--since", f"{since:.3f}", "--filter", label, *kinds, "--format", "{{.ID}}")
        self._watcher = asyncio.create_task(self._follow(words))

    async def _follow(self, words: Sequence[str]) -> None:
        rest = b""

        def take(data: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                changed = self._changes.get(line.decode(errors="replace").strip())
                if changed:
                    changed.set()

        try:
            await self._piped(words, take)
        except ServiceError as error:
            self.lost = error.message
        else:
            self.lost = rest.decode(errors="replace").strip() or "its stream of events has ended"
        for changed in self._changes.values():
            changed.set()

    async def host(self) -> str:
        """Return the engine's address, as DOCKER_HOST or the present context has it."""
        form = "{{.Endpoints.docker.Host}}"
        return (await self._run("docker", "context", "inspect", "--format", form)).strip()

    async def _run(self, *words: str, seconds: float = ANSWER_SECONDS) -> str:
        status, text = await self._output(*words, seconds=seconds)
        if status:
            raise engine_refused(text)
        return text

    async def _output(self, *words: str, seconds: float = ANSWER_SECONDS) -> tuple[int, str]:
        """Run a command; return its exit status, and what it wrote to both outputs."""
        output = bytearray()

        def take(data: bytes) -> None:
            output.extend(data[: _LONGEST - len(output)])

        try:
            async with asyncio.timeout(seconds):
                status = await self._piped(words, take)
        except TimeoutError:
            raise engine_silent(words, seconds) from None
        return status, output.decode(errors="replace")

    async def _piped(self, words: Sequence[str], take: Callable[[bytes], None]) -> int:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)

        def read() -> None:
            with suppress(BlockingIOError):
                while data := os.read(reading, 1 << 16):
                    take(data)
                self._loop.remove_reader(reading)

        child: Child | None = None
        try:
            child = self._children.start(Program(tuple(words), self._variables, self._directory), writing, _OWNER)
            os.close(writing)
            writing = -1
            self._loop.add_reader(reading, read)
            status = await asyncio.shield(child.exit)
            read()
        except SpawnRefused as refused:
            raise ServiceError(
                f"the command `{words[0]}` cannot be run: {os.strerror(refused.number).lower()}",
                hint="install Docker with its Compose plugin, or start the services as processes of this machine",
            ) from refused
        else:
            return status
        finally:
            if child is not None and not child.exit.done():
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)  # Compose is a process below `docker`
            self._loop.remove_reader(reading)
            os.close(reading)
            if writing >= 0:
                os.close(writing)
