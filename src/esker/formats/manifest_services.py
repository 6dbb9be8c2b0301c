"""`[services]` of a manifest: its tables, and the rules across their keys. The rules have Flox's texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from esker.formats.manifest_values import ManifestTable, VariableName, plain
from esker.formats.tables.reader import Elsewhere, Fault, Parsed, Refusal, RequiredBefore, Rest, Since, near

__all__ = [
    "WORDS",
    "Dependency",
    "Service",
    "Services",
    "Shutdown",
    "Systemd",
    "daemons_can_stop",
    "shutdowns_are_possible",
    "undefined_dependencies",
]

_LAST_SIGNAL = 31


def _service_name(name: str) -> str:
    """Return `name` if a service can have it: it names the log file too, and one name is reserved."""
    if name == "flox_never_exit":
        raise Refusal(f"the name `{name}` is reserved", "choose another name for the service")
    if not name.isprintable() or "/" in name or name in {"", ".", ".."}:
        raise Refusal(
            f"`{name}` cannot be the name of a service",
            "use printable characters without `/`: the log is a file of that name",
        )
    return name


def _auto_start(value: Any) -> bool:
    if isinstance(value, dict):
        raise Refusal("a service cannot be called `auto-start`", "rename it: this key is a setting of [services]")
    if not isinstance(value, bool):
        raise Refusal(f"invalid type: `{value}`, expected a boolean", "write `auto-start = true`")
    return value


def _seconds(number: int) -> int:
    if not 0 < number < 1 << 32:
        raise Refusal(f"invalid value: integer `{number}`, expected a nonzero u32", "write whole seconds, at least 1")
    return number


class Shutdown(ManifestTable, frozen=True):
    """How a service is stopped: by a command, or by the signal of this number; killed after the timeout."""

    command: Annotated[str | None, RequiredBefore("1.16.0")] = None
    timeout_seconds: Annotated[int | None, Parsed(_seconds), Since("1.16.0")] = None
    signal: Annotated[int | None, Since("1.16.0")] = None


class Dependency(ManifestTable, frozen=True):
    """What must have happened to another service before this one starts."""

    condition: Literal["process_started", "process_completed", "process_completed_successfully"]


Settings = Mapping[str, Annotated[Any, Parsed(plain)]]


class Systemd(ManifestTable, frozen=True):
    """Settings for the systemd unit that `services persist` writes, as plain values."""

    unit: Settings | None = None
    service: Settings | None = None


class Service(ManifestTable, frozen=True):
    """One service; the keys are Flox's."""

    command: str
    vars: Mapping[VariableName, str] | None = None
    is_daemon: bool | None = None
    shutdown: Shutdown | None = None
    depends_on: Annotated[Mapping[str, Dependency] | None, Since("1.16.0")] = None
    systemd: Systemd | None = None
    systems: tuple[str, ...] | None = None
    """The systems to run it on; any text, because Flox takes any."""


_VARS = "the variables of a service are `vars` in `[services.NAME]`"
_DIRECTORY = "a service begins in the project's directory: begin its command with `cd DIRECTORY && …`"
_CONTAINER = "a service here is a process of this machine: one that is a container belongs into a Compose file"
WORDS = (
    *((word, _VARS) for word in ("env", "environment", "env_file", "env-file")),
    *((word, _DIRECTORY) for word in ("cwd", "dir", "directory", "working_dir", "working-dir")),
    *((word, _CONTAINER) for word in ("image", "build", "volumes", "container_name")),
    *((word, "write `depends-on`") for word in ("after", "depends")),
)
"""What other programs call what a service has; for both tables of a service."""
_ESKERS = (
    *("type", "healthcheck", "restart", "max-restarts", "backoff", "stop-signal", "stop-grace-period", "ports"),
    *("pass-env", "user"),
)
_HERE = (*WORDS, *((key, "it belongs into `[plugins.esker.services.NAME]`") for key in _ESKERS))


class Services(ManifestTable, frozen=True):
    """The `[services]` table: `auto-start` is a setting, every other key is the name of a service."""

    auto_start: Annotated[bool | None, Parsed(_auto_start, Any), Since("1.12.0")] = None
    services: Annotated[
        Mapping[Annotated[str, Parsed(_service_name, is_rule=True)], Annotated[Service, Elsewhere(_HERE)]], Rest()
    ] = {}


def daemons_can_stop(services: Services, table: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield a fault if there are daemons without a command that stops them; it names them all."""
    names = [
        name
        for name, service in services.services.items()
        if service.is_daemon
        and ("shutdown" not in table[name] or (service.shutdown is not None and service.shutdown.command is None))
    ]
    if names:
        message = "Services that spawn daemon processes must supply a shutdown command.\n\n"
        message += "\n".join(["The following services did not specify a shutdown command:", *(f"- {n}" for n in names)])
        yield Fault((names[0], "is-daemon"), message, 'add `shutdown.command = "…"`, which ends the daemon')


def shutdowns_are_possible(services: Services, _: object) -> Iterator[Fault]:
    """Yield a fault for each signal that does not exist, and for each that would never be sent."""
    for name, service in services.services.items():
        shutdown = service.shutdown
        if shutdown is None or shutdown.signal is None:
            continue
        path = (name, "shutdown", "signal")
        if not 1 <= shutdown.signal <= _LAST_SIGNAL:
            message = (
                f"Service '{name}' has an invalid shutdown signal ({shutdown.signal}).\n"
                "Use a signal number between 1 and 31, for example 15 for SIGTERM or 2 for SIGINT."
            )
            yield Fault(path, message, "without the key, it is 15")
        if shutdown.command is not None:
            message = (
                f"Service '{name}' sets both a shutdown command and a shutdown signal.\n"
                "Remove 'shutdown.signal': the shutdown command is run instead of delivering a signal."
            )
            yield Fault(path, message, "or remove 'shutdown.command'")


def undefined_dependencies(services: Services, names: frozenset[str]) -> Iterator[Fault]:
    """Yield a fault for each dependency on a service that is none of `names`; its path begins at `[services]`."""
    for name, service in services.services.items():
        for target in service.depends_on or ():
            if target not in names:
                message = (
                    f"Service '{name}' depends on service '{target}', which is not defined in this environment.\n"
                    f"Check the spelling of '{target}', or add a '[services.{target}]' section."
                )
                hint = near(target, names) or "or remove the dependency"
                yield Fault((name, "depends-on", target), message, hint)
