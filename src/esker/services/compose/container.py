"""One container as the engine describes it, and the file that says which containers Esker has started.

The file lies below `.flox/cache` and outlives a killed supervisor, so the next command finds them. It may have come
with the project, so what it says is believed only for containers of this Compose project.
"""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare import project_directory
from esker.host import files, state_file

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LABEL", "Check", "Container", "cannot_enter", "parse_containers", "paused", "read_started", "write_started"]

LABEL = "com.docker.compose"
"""How the names of the labels begin that Compose gives its containers."""
_NEVER = 1
"""The year in which the engine says that something happened that never did."""
_STARTED = "containers.json"
_NOT_FOUND = (126, 127)
"""The statuses of a shell that cannot run a command (POSIX, 2.8.2)."""
_NO_FILE = "executable file not found"
"""What runc and crun say of a command without a shell that is not in the image; its status is then -1."""
_RUNTIME = re.compile(r"(?:Error: )?(?:OCI runtime|runc|crun)\b")
"""How a message begins that the engine's runtime has written, and not the health check."""
_NO_COMMAND = re.compile('exec: "|executable file')
"""What runc and crun say if the command of the check is at fault, which is missing or may not be run."""
_OFTEN = 3
"""After this many health checks in a row that the engine could not run, it will not run the next one either."""
_SHELL = ("/bin/sh", "-c")
_PODMAN = ("io.container.manager", "libpod")
"""The annotation that Podman gives its containers."""


class Check(NamedTuple):
    """The health check of a container; all times in seconds."""

    words: tuple[str, ...]
    """Its command; empty if that is not known."""
    interval: float
    timeout: float
    start_period: float
    start_interval: float


class Container(NamedTuple):
    """One container, as the engine describes it at one moment."""

    id: str
    name: str
    service: str
    """The Compose service that it belongs to."""
    hash: str
    """Compose's hash of the configuration that it was made from."""
    project: str = ""
    """The Compose project that it belongs to."""
    status: str = "created"
    """Docker's word: created, running, paused, restarting, removing, exited, dead."""
    exit_code: int = 0
    pid: int = 0
    """Of its first process, in the engine's pid namespace; 0 if it does not run."""
    health: str | None = None
    """starting, healthy or unhealthy; None without a health check."""
    problem: str | None = None
    """What its last health check printed, if that failed."""
    lacks_check: bool = False
    """Whether that check failed because its command is not in the image."""
    is_shut: bool = False
    """Whether the engine could run none of the last health checks in it, for a reason of the engine's own."""
    error: str | None = None
    """Why the engine could not start it."""
    restarts: int = 0
    directory: str = ""
    """The directory of the Compose project that it belongs to."""
    ports: Mapping[str, int] = {}
    """The port of this machine for each published port of its own, such as `5432/tcp`, while it runs."""
    volumes: tuple[str, ...] = ()
    """The names of the volumes that it mounts."""
    started_at: float | None = None
    """Seconds since 1970."""
    check: Check | None = None
    """Its health check; None without one."""
    checked: str = ""
    """When its last health check ended, as the engine writes it."""
    last_change: float = 0.0
    """When the engine last created, started or ended it, by the engine's clock."""
    stop_signal: str = "SIGTERM"
    """What the engine asks it to end with."""
    stop_seconds: int = 10
    """How long the engine gives it to end; the engine's own default, unless the Compose file says something else."""
    is_podmans: bool = False
    """Whether the engine is Podman."""

    @property
    def runs(self) -> bool:
        """Whether it runs, or will run again by its own restart policy."""
        return self.status in {"running", "paused", "restarting"}


def paused(container: Container) -> str:
    """Return what a person is told of a container that somebody has paused."""
    return f"its container is paused: `docker unpause {container.name}` resumes it"


def cannot_enter(text: str) -> bool:
    """Return whether the engine says that it can run nothing in a container, as without its control group.

    >>> cannot_enter("OCI runtime exec failed: error adding pid 409 to cgroups: no such file or directory")
    True
    >>> cannot_enter('OCI runtime exec failed: exec: "pg_isready": executable file not found in $PATH')
    False
    """
    return _RUNTIME.match(text) is not None and _NO_COMMAND.search(text) is None


def parse_containers(text: str) -> list[Container]:
    """Return the containers in the output of `docker inspect`; raise ValueError if it is no such output."""
    try:
        return [_container(each) for each in json.loads(text)]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"`docker inspect` answered with something else: {error!r}") from error


def _container(record: Mapping[str, Any]) -> Container:
    state, labels = record["State"], record["Config"].get("Labels") or {}
    # Podman writes an empty text, Docker leaves it out, where there is no health check.
    health = state.get("Health") or state.get("Healthcheck") or {}
    checks = health.get("Log") or []
    last = checks[-1] if checks else {}
    status = health.get("Status") or None
    if status == "unhealthy" and health.get("FailingStreak") == 0:
        status = "starting"  # no check has failed: Docker says that of a container that is, or was, paused
    ports = (record.get("NetworkSettings") or {}).get("Ports") or {}
    return Container(
        id=str(record["Id"]),
        name=str(record["Name"]).removeprefix("/"),
        service=str(labels.get(f"{LABEL}.service", "")),
        hash=str(labels.get(f"{LABEL}.config-hash", "")),
        project=str(labels.get(f"{LABEL}.project", "")),
        status=str(state["Status"]),
        exit_code=int(state["ExitCode"]),
        pid=int(state.get("Pid") or 0),
        health=None if status in {None, "none"} else str(status),
        problem=_problem(last) if last and last.get("ExitCode") != 0 else None,
        lacks_check=last.get("ExitCode") in _NOT_FOUND or (last.get("ExitCode") == -1 and _NO_FILE in str(last)),
        is_shut=len(checks) >= _OFTEN and all(cannot_enter(str(each.get("Output"))) for each in checks[-_OFTEN:]),
        error=str(state.get("Error") or "") or None,
        restarts=int(record.get("RestartCount") or 0),
        directory=str(labels.get(f"{LABEL}.project.working_dir", "")),
        ports={port: int(places[0]["HostPort"]) for port, places in ports.items() if places},
        started_at=_moment(str(state.get("StartedAt") or "")),
        volumes=tuple(str(each["Name"]) for each in record.get("Mounts") or () if each.get("Type") == "volume"),
        check=None if status in {None, "none"} else _check(record["Config"].get("Healthcheck") or {}),
        last_change=max(_moment(str(each or "")) or 0.0 for each in _moments(record)),
        checked=str(last.get("End", "")),
        stop_signal=_signal_name(str(record["Config"].get("StopSignal") or "SIGTERM")),
        stop_seconds=max(0, int(record["Config"].get("StopTimeout") or 10)),
        is_podmans=_PODMAN in ((record.get("HostConfig") or {}).get("Annotations") or {}).items(),
    )


def _problem(result: Mapping[str, Any]) -> str:
    """Return what a health check that failed has printed, else its exit status."""
    return str(result.get("Output") or "").strip() or f"its check ended with status {result.get('ExitCode')}"


def _signal_name(text: str) -> str:
    """Return the name of a signal that an engine gives by its name or by its number; any other text as it is."""
    try:
        return signal.Signals(int(text)).name
    except ValueError:
        return text


def _moments(record: Mapping[str, Any]) -> tuple[object, ...]:
    state = record["State"]
    return record.get("Created"), state.get("StartedAt"), state.get("FinishedAt")


def _check(record: Mapping[str, Any]) -> Check:
    """Return a container's health check, with Docker's times where it does not say them."""
    defaults = {"Interval": 30.0, "Timeout": 30.0, "StartPeriod": 0.0, "StartInterval": 5.0}
    given = {name: int(record.get(name) or 0) / 1e9 for name in defaults}
    kind, *words = [*map(str, record.get("Test") or ()), ""]
    command = tuple(words[:-1]) if kind == "CMD" else (*_SHELL, *words[:-1]) if kind == "CMD-SHELL" else ()
    return Check(command, *(given[name] or default for name, default in defaults.items()))


def _moment(text: str) -> float | None:
    """Return the time in an answer of the engine, such as `2026-11-30T00:36:16.842719374Z`; None if it has none."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() if moment.year > _NEVER else None


def read_started(dot_flox: str) -> dict[str, str]:
    """Return the containers, by service, that the file names; none if it is missing or damaged."""
    record = state_file.read(f"{dot_flox}/cache/esker/{_STARTED}", as_directory=True) or {}
    started = record.get("started")
    if not isinstance(started, dict):
        return {}
    return {name: each for name, each in started.items() if isinstance(name, str) and isinstance(each, str)}


def write_started(dot_flox: str, started: Mapping[str, str]) -> None:
    """Write the ids of the containers that Esker has started, by service; raises HostError."""
    with project_directory.writable(dot_flox, "cache", "esker") as directory:
        text = json.dumps({"started": dict(started)}, sort_keys=True)
        files.write_changed(f"{dot_flox}/cache/esker/{_STARTED}", text.encode() + b"\n", directory=directory)
