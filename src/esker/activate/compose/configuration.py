"""What Compose says of a project's files: `docker compose config` is the only reader of them.

Its output holds every secret of the project, so it stays in memory. What is kept of it, and may be written down, are
the services' names, their edges, ports, images and hashes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from esker.activate.compose.docker_command import compose_command, compose_refused, engine_silent
from esker.errors import CommandFailed, ServiceError, TimedOut
from esker.host import process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from subprocess import CompletedProcess

__all__ = [
    "ComposeDependency",
    "ComposePort",
    "ComposeService",
    "Configuration",
    "ask",
    "check_version",
    "hashes",
    "parse",
    "port_inputs",
    "run",
]

_SECONDS = 60.0
_OLDEST = (2, 24)
"""The first Compose that knows `!override`."""
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_UNSET = re.compile(r'The \\?"([A-Za-z_][A-Za-z0-9_]*)\\?" variable is not set')
_NUMBER = re.compile("[0-9]{1,5}")
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")


class _Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frozen struct that can be written down."""


class ComposePort(_Value, frozen=True):
    """A port of a container that is published on this machine."""

    target: int
    """The port of the container."""
    published: str = ""
    """The port of this machine, or a range of ports; empty if the file leaves it open."""
    host_ip: str = ""
    protocol: str = "tcp"
    mode: str = ""

    @property
    def number(self) -> int | None:
        """The one port of this machine; None if it is open or a range."""
        return int(self.published) if _NUMBER.fullmatch(self.published) else None


class ComposeDependency(_Value, frozen=True):
    """What one service waits for of another."""

    condition: str = "service_started"
    required: bool = True
    restart: bool = False


class ComposeService(_Value, frozen=True):
    """A service of the Compose files, without anything that may be secret."""

    name: str
    image: str = ""
    is_built: bool = False
    """Whether the file says how to build its image."""
    depends_on: dict[str, ComposeDependency] = {}
    ports: tuple[ComposePort, ...] = ()
    container_name: str | None = None
    stop_grace_period: str = "10s"
    """As Compose writes it, such as `1m30s`."""
    start_interval: str = ""
    """That of its health check, written alike; empty if the file does not say it."""
    replicas: int = 1
    volumes: tuple[str, ...] = ()
    """The names, for the engine, of the volumes of this project that it uses; external ones do not count."""
    external_volumes: tuple[str, ...] = ()


class Configuration(_Value, frozen=True):
    """What Compose says of a project."""

    name: str
    """The project's name."""
    services: dict[str, ComposeService] = {}
    unset: tuple[str, ...] = ()
    """The variables that its files name and that are not set, so that Compose takes them as empty."""


class _Asked(msgspec.Struct):
    """The parts of Compose's answer that we read."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    services: dict[str, dict[str, Any]] = {}
    volumes: dict[str, dict[str, Any]] = {}


def run(words: Sequence[str], environ: Mapping[str, str], directory: str, stdin: str | None = None) -> str:
    """Return what a command of Docker's prints; raises ServiceError with what Docker says, and its remedy."""
    return _run(words, environ, directory, stdin).stdout


def _run(
    words: Sequence[str], environ: Mapping[str, str], directory: str, stdin: str | None = None
) -> CompletedProcess[str]:
    try:
        return process.run(words, environ=environ, cwd=directory, timeout=_SECONDS, stdin=stdin)
    except TimedOut:
        raise engine_silent(words, _SECONDS) from None
    except CommandFailed as failure:
        raise compose_refused(words, failure) from failure


def ask(files: Iterable[str], environ: Mapping[str, str], directory: str, name: str | None = None) -> Configuration:
    """Return what Compose says of its files; with a `name`, of the project of that name. Raises ServiceError."""
    done = _run([*compose_command(files, name), "config", "--format", "json"], environ, directory)
    found = parse(done.stdout)
    return msgspec.structs.replace(found, unset=tuple(sorted({*_UNSET.findall(done.stderr)})))


def parse(answer: str) -> Configuration:
    """Return what the output of `docker compose config --format json` says; raises ServiceError if it is no such."""
    try:
        asked = msgspec.json.decode(answer, type=_Asked)
        services = {service: _service(service, table, asked.volumes) for service, table in asked.services.items()}
    except (
        msgspec.DecodeError,
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ServiceError(f"Compose's description of the project cannot be read: {error}") from error
    return Configuration(name=asked.name, services=services)


def hashes(files: Iterable[str], environ: Mapping[str, str], directory: str, name: str) -> dict[str, str]:
    """Return Compose's hash of the configuration of each service, as the containers get it in a label.

    For a service with `env_file`, `config --hash` on the files themselves is another hash than `up` works out, because
    `up` has put the variables in the files' place by then. So Compose hashes what it has made of the files.
    """
    whole = run([*compose_command(files, name), "config", "--format", "json"], environ, directory)
    words = ["docker", "compose", "--file", "-", "--project-directory", directory, "--project-name", name]
    # A dependency that is not required may be missing in what Compose has made of the files.
    listed = run([*words, "config", "--no-consistency", "--hash", "*"], environ, directory, stdin=whole)
    return {line.split()[0]: line.split()[1] for line in listed.splitlines() if len(line.split()) == 2}  # noqa: PLR2004


def port_inputs(files: Iterable[str], environ: Mapping[str, str], directory: str) -> dict[str, list[str]]:
    """Return, for each service, the variables that its published ports are made from."""
    words = [*compose_command(files), "config", "--no-interpolate", "--no-consistency", "--format", "json"]
    try:
        answer = json.loads(run(words, environ, directory))
        services = answer["services"].items()
        return {name: sorted(set(_REFERENCE.findall(json.dumps(table.get("ports") or [])))) for name, table in services}
    except (ServiceError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # without interpolation some files cannot be read, which says nothing of the project


def check_version(environ: Mapping[str, str], directory: str) -> None:
    """Raise ServiceError if Compose is too old to have a list of ports replaced."""
    text = run(["docker", "compose", "version", "--short"], environ, directory).strip().removeprefix("v")
    numbers = tuple(int(number) for number in re.findall(r"\d+", text)[:2])
    if numbers < _OLDEST:
        raise ServiceError(
            f"Compose {text} cannot have a port chosen for it",
            hint="install Compose 2.24 or later, or state the port of this machine in the Compose file",
        )


def _service(name: str, table: Mapping[str, Any], volumes: Mapping[str, Mapping[str, Any]]) -> ComposeService:
    deploy = table.get("deploy") or {}
    replicas = table.get("scale", deploy.get("replicas"))
    sources = [each.get("source") for each in table.get("volumes") or () if each.get("type") == "volume"]
    used = [volumes[source] for source in sources if source in volumes]
    return ComposeService(
        name=name,
        image=str(table.get("image") or ""),
        is_built="build" in table,
        depends_on={target: _dependency(each) for target, each in (table.get("depends_on") or {}).items()},
        ports=tuple(_port(each) for each in table.get("ports") or ()),
        container_name=table.get("container_name"),
        stop_grace_period=str(table.get("stop_grace_period") or "10s"),
        start_interval=str((table.get("healthcheck") or {}).get("start_interval") or ""),
        replicas=1 if replicas is None else int(replicas),
        volumes=tuple(str(each["name"]) for each in used if not each.get("external")),
        external_volumes=tuple(str(each["name"]) for each in used if each.get("external")),
    )


def _dependency(table: Mapping[str, Any]) -> ComposeDependency:
    condition = str(table.get("condition", _CONDITIONS[0]))
    if condition not in _CONDITIONS:
        raise ValueError(f"`{condition}` is no condition")
    return ComposeDependency(
        condition=condition, required=bool(table.get("required", True)), restart=bool(table.get("restart", False))
    )


def _port(table: Mapping[str, Any]) -> ComposePort:
    return ComposePort(
        target=int(table["target"]),
        published=str(table.get("published") or "").removesuffix("-0"),
        host_ip=str(table.get("host_ip") or ""),
        protocol=str(table.get("protocol") or "tcp"),
        mode=str(table.get("mode") or ""),
    )
