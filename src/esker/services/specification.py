"""The specification of a service: plain values that a command sends to the supervisor.

The types of `declare.declaration` would do, but they need modules that would make the small supervisor much bigger.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Literal

from esker.errors import ServiceError
from esker.host.frozen_dataclass import replaced
from esker.services import received

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from dataclasses import dataclass, field

    from esker.declare.declaration import Declaration, HealthCheck, JoinedCondition, ServiceTable
    from esker.formats.manifest import Service
else:
    from esker.host.frozen_dataclass import dataclass, field

__all__ = ["KINDS", "CheckSpec", "ContainerSpec", "Form", "ServiceSpec", "parse", "passed_variables", "specify"]

Form = Literal["shell", "exec", "tcp", "unix", "http", "log"]
_OTHER_FORMS: tuple[Form, ...] = ("tcp", "unix", "http", "log")
_BASE = frozenset(("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "TERM"))
_BASE_PREFIXES = ("LC_", "XDG_")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSpec:
    """A health check; times in seconds."""

    form: Form
    target: tuple[str, ...]
    """The words of a command for `exec`; else one text: shell text, `host:port`, a path, a URL or a pattern."""
    interval: float = 10.0
    start_interval: float = 0.05
    timeout: float = 2.0
    retries: int = 3
    start_period: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What the engine needs to know of a service in a container; the rest Compose reads from the project's files."""

    service: str
    """Its name in the Compose files."""
    project: str
    """The name of the Compose project."""
    directory: str
    """The directory that paths in the Compose files begin at, and by which the engine knows the checkout."""
    files: tuple[str, ...]
    """The Compose files, the later ones over the earlier."""
    hashes: tuple[str, ...]
    """Compose's hashes of its configuration, with what Esker adds to it and without."""
    container_name: str | None = None
    """The container's name, if the Compose file states it; the engine has each name once."""
    shared_volumes: tuple[str, ...] = ()
    """Volumes that other checkouts may use too, by the engine's names."""
    port_variables: Mapping[str, str] = field(default_factory=dict)
    """Variables that name ports of this machine, each with the container's own port, such as `5432/tcp`."""
    start_interval: float | None = None
    """Seconds between two health checks in its start period, if the Compose file says so; Podman does not keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One service, as it is to run; times in seconds."""

    name: str
    command: str
    """Shell text."""
    vars: Mapping[str, str] = field(default_factory=dict)
    is_daemon: bool = False
    shutdown: str | None = None
    """Shell text that tells a daemon to stop."""
    has_table: bool = False
    """Whether Esker's own table configures it; without one it cannot fail any more once it is ready."""
    any_end: bool = False
    """Whether it may end at once and with any status, because another service waits for just that."""
    oneshot: bool = False
    depends_on: Mapping[str, JoinedCondition] = field(default_factory=dict)
    check: CheckSpec | None = None
    restart: Literal["no", "on-failure", "always"] = "no"
    max_restarts: int = 3
    backoff: float = 0.1
    stop_signal: str = "SIGTERM"
    stop_grace_period: float = 10.0
    ports: Mapping[str, int] = field(default_factory=dict)
    """Variable name to port; an automatic port (0 in the manifest) is already replaced."""
    pass_env: tuple[str, ...] = ()
    user: str | None = None
    restarts_with: tuple[str, ...] = ()
    """The services after whose restart it is restarted too, as Compose's `restart: true` says."""
    container: ContainerSpec | None = None
    """Where it runs in a container; then `command` is empty."""
    environment: str = ""
    """A digest of the environment's own `[vars]`, which every service inherits; empty if there are none."""


def parse(record: object) -> ServiceSpec:
    """Return the specification from `record`, its fields as JSON has them; raise ValueError if it is not valid."""
    return received.record(ServiceSpec, record, _KINDS)


def _text(given: Any) -> str:
    """Return a text that may become a part of a command or a variable."""
    if "\0" in received.text(given):
        raise ValueError("it holds a zero byte")
    return str(given)


def _check_spec(given: Any) -> CheckSpec:
    check = received.record(CheckSpec, given, _KINDS)
    if not check.target or (check.form != "exec" and len(check.target) != 1):
        raise ValueError("`target`: it has not the number of texts that its form needs")
    return check


def _variables(given: Any) -> Mapping[str, str]:
    variables: Mapping[str, str] = received.value("Mapping[str, str]", given, _KINDS)
    if any(not name or "=" in name for name in variables):
        raise ValueError("a name is empty or holds `=`")
    return variables


_COUNT = received.whole(0, 1 << 62)
_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "str": _text,
    "Form": received.one_of("shell", "exec", *_OTHER_FORMS),
    "CheckSpec": _check_spec,
    "ContainerSpec": lambda given: received.record(ContainerSpec, given, {"str": _text}),
    "JoinedCondition": received.one_of(
        "service_started", "service_healthy", "service_completed_successfully", "service_completed"
    ),
    "CheckSpec.retries": _COUNT,
    "ServiceSpec.vars": _variables,
    "ServiceSpec.restart": received.one_of("no", "on-failure", "always"),
    "ServiceSpec.max_restarts": _COUNT,
    "ServiceSpec.stop_signal": received.one_of(*signal.Signals.__members__),
    "ServiceSpec.ports": lambda given: received.value("Mapping[str, Port]", given, _KINDS),
    "Port": received.whole(1, 65535),
}


def _environments(given: Any) -> Mapping[str, Mapping[str, str]]:
    if type(given) is not dict:
        raise ValueError("it is not an object")
    return {_text(name): _variables(variables) for name, variables in given.items()}


KINDS: Mapping[str, Callable[[Any], Any]] = {
    "str": _text,
    "ServiceSpec": parse,
    "Mapping[str, Mapping[str, str]]": _environments,
}
"""The checks for the fields of a request."""


def specify(declaration: Declaration, system: str, ports: Mapping[str, int]) -> dict[str, ServiceSpec]:
    """Return the services of `declaration` for `system`, by name.

    `ports` are the automatic ports by their variable. Raises ServiceError if one that a service needs is missing.
    """
    services, environment = declaration.services_for(system), _digest(declaration.manifest.vars or {})
    specs = {
        name: _specify(
            name,
            service,
            declaration.esker.services.get(name),
            ports=ports,
            depends_on=declaration.dependencies_for(name, system),
        )
        for name, service in services.items()
    }
    awaited = {
        target for spec in specs.values() for target, how in spec.depends_on.items() if how == "service_completed"
    }
    return {name: replaced(spec, any_end=name in awaited, environment=environment) for name, spec in specs.items()}


def _digest(variables: Mapping[str, str]) -> str:
    import hashlib  # not at the top, because the supervisor imports this module and would grow by a megabyte
    import json

    text = json.dumps(dict(variables), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest() if variables else ""


def _specify(
    name: str,
    service: Service,
    table: ServiceTable | None,
    *,
    ports: Mapping[str, int],
    depends_on: Mapping[str, JoinedCondition],
) -> ServiceSpec:
    shutdown = service.shutdown
    plain = ServiceSpec(
        name=name,
        command=service.command,
        vars=dict(service.vars or {}),
        is_daemon=bool(service.is_daemon),
        shutdown=shutdown.command if shutdown else None,
        depends_on=depends_on,
    )
    if table is not None:
        plain = replaced(
            plain,
            has_table=True,
            oneshot=table.type == "oneshot",
            check=_check(table.healthcheck) if table.healthcheck else None,
            restart=table.restart,
            max_restarts=table.max_restarts,
            backoff=table.backoff,
            stop_signal=table.stop_signal,
            stop_grace_period=table.stop_grace_period,
            ports={variable: port or _automatic(name, variable, ports) for variable, port in table.ports.items()},
            pass_env=table.pass_env,
            user=table.user,
        )
    # Where both tables say how the service is stopped, they say the same.
    if shutdown and shutdown.signal is not None:
        plain = replaced(plain, stop_signal=signal.Signals(shutdown.signal).name)
    if shutdown and shutdown.timeout_seconds is not None:
        plain = replaced(plain, stop_grace_period=float(shutdown.timeout_seconds))
    return plain


def _automatic(name: str, variable: str, ports: Mapping[str, int]) -> int:
    if variable not in ports:
        raise ServiceError(
            f"no port was chosen for `{variable}` of the service `{name}`", hint="activate the environment"
        )
    return ports[variable]


def _check(check: HealthCheck) -> CheckSpec:
    form: Form
    target: tuple[str, ...]
    if check.test is not None:
        form, target = ("shell", (check.test,)) if isinstance(check.test, str) else _compose_test(check.test)
    else:
        form = next(form for form in _OTHER_FORMS if getattr(check, form) is not None)
        target = (getattr(check, form),)
    return CheckSpec(
        form=form,
        target=target,
        interval=check.interval,
        start_interval=check.start_interval,
        timeout=check.timeout,
        retries=check.retries,
        start_period=check.start_period,
    )


def _compose_test(words: tuple[str, ...]) -> tuple[Form, tuple[str, ...]]:
    """Return form and words of a `test` list; as in Compose, its first word may be `CMD` or `CMD-SHELL`."""
    if words[0] == "CMD-SHELL":
        return "shell", (" ".join(words[1:]),)
    return "exec", words[1:] if words[0] == "CMD" else words


def passed_variables(caller: Mapping[str, str], also: Collection[str] = ()) -> dict[str, str]:
    """Return those of the caller's variables that a service gets; the activation adds its own later.

    `also` names variables that this service gets in addition to those that every service gets.
    """
    return {
        name: value
        for name, value in caller.items()
        if name in _BASE or name in also or name.startswith(_BASE_PREFIXES)
    }
