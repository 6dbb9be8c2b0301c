"""Services of a Compose file as containers that the host of a job runs, where that host can run them alike.

Compose alone reads its files. It gets the values of `[vars]` and no variable of the caller's, and no `.env`: a workflow
is committed, so it holds nothing that is not in the project's declaration.
"""

from __future__ import annotations

import json
import re
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from esker.activate.compose.configuration import run
from esker.activate.compose.docker_command import compose_command
from esker.activate.compose.files import compose_files
from esker.activate.expansion import expanded, needs_bash
from esker.errors import ServiceError
from esker.formats.manifest import vars_in_order
from esker.ship.ci.job import Container

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from esker.declare.declaration import Declaration

__all__ = ["NotAlike", "containers"]

_SAME = {"image", "ports", "environment", "healthcheck"}
_NOT_NEEDED = {"container_name", "hostname", "networks", "pull_policy", "restart", "stop_grace_period", "stop_signal"}
"""Keys that mean nothing for a service of one job."""
_INITIAL = "/docker-entrypoint-initdb.d"
"""Where images of databases have the scripts that they run when they make their files."""
_HEALTH = {"interval": "interval", "timeout": "timeout", "start_period": "start-period", "retries": "retries"}
_REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$(?:\{(?P<braced>\w+)(?P<more>[^}]*)\}|(?P<bare>[A-Za-z_]\w*))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_UNQUOTABLE = re.compile(r'["\\`\n]')


class NotAlike(Exception):
    """The host cannot run a service as the Compose file says; the text says why, as the end of a sentence."""


def containers(
    declaration: Declaration, environ: Mapping[str, str], say: Callable[[str], object]
) -> dict[str, Container]:
    """Return the containers of a declaration's Compose services by name; none where there is no Compose file.

    `environ` is for running Compose; what a container will lack is told to `say`. Raises NotAlike, and ServiceError if
    Compose refuses.
    """
    if not declaration.uses_compose or not (files := compose_files(declaration, {})):
        return {}
    tools = {name: environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in environ}
    values = _values(declaration)
    base = [*compose_command(files), "--env-file", "/dev/null", "config", "--format", "json"]
    written = _services(run([*base, "--no-interpolate"], tools, declaration.project))
    services = _services(run(base, values | tools, declaration.project))
    table = declaration.esker.compose
    names = _needed(services, (table.chosen if table else ()) or tuple(services))
    if table and any(each.depends_on for each in table.tables.values()):
        raise NotAlike("a container waits for a service of this machine")
    made = {name: _container(name, services[name], written[name], values) for name in names}
    for name in names:
        if any(_is_initial(volume) for volume in services[name].get("volumes") or ()):
            say(f"The host starts `{name}` before there is a checkout, so the scripts in `{_INITIAL}` do not run.")
    return made


def _values(declaration: Declaration) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, text in vars_in_order(declaration.manifest.vars):
        if not needs_bash(text):
            with suppress(OverflowError):
                values[name] = expanded(text, values)
    return values


def _services(answer: str) -> dict[str, dict[str, Any]]:
    try:
        services = json.loads(answer)["services"]
        return {str(name): dict(service) for name, service in services.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ServiceError(f"Compose's description of the project cannot be read: {error}") from error


def _needed(services: Mapping[str, Mapping[str, Any]], chosen: tuple[str, ...]) -> list[str]:
    """Return the chosen services and those that they depend on, in the order of the file."""
    pending, needed = list(chosen), set()
    while pending:
        name = pending.pop()
        if name not in services:
            raise ServiceError(f"the Compose files have no service `{name}`", hint="correct [plugins.esker.compose]")
        if name not in needed:
            needed.add(name)
            pending += [each for each in services[name].get("depends_on") or {} if each in services]
    return [name for name in services if name in needed]


def _container(
    name: str, service: Mapping[str, Any], written: Mapping[str, Any], values: Mapping[str, str]
) -> Container:
    for key, value in service.items():
        if value in (None, [], {}) or key in _SAME | _NOT_NEEDED:
            continue
        if key == "depends_on" and all(each.get("condition") == "service_started" for each in value.values()):
            continue
        if key == "volumes" and all(each.get("type") == "volume" or _is_initial(each) for each in value):
            continue
        raise NotAlike(f"`{name}` has `{key}` in the Compose file")
    if "env_file" in written:
        raise NotAlike(f"`{name}` has an `env_file`, whose values may be secrets")
    for variable in service.get("environment") or {}:
        if not _NAME.fullmatch(variable):  # the hosts evaluate what stands in a name
            raise NotAlike(
                f"`{name}` has the variable `{variable}`, whose name is not of letters, digits and `_` alone"
            )
    if missing := _without_value(written, values):
        raise NotAlike(f"`{name}` needs `{missing}`, which has no value in [vars] and no default in the Compose file")
    try:
        return Container(
            image=str(service["image"]),
            ports=tuple(_port(name, port) for port in service.get("ports") or ()),
            environment={key: _plain(value or "") for key, value in (service.get("environment") or {}).items()},
            health=_health(name, service.get("healthcheck") or {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceError(f"Compose's description of `{name}` cannot be read: {error}") from error


def _is_initial(volume: Mapping[str, Any]) -> bool:
    """Return whether a volume brings what a database runs when it is made, which the tests of a project do as well."""
    return volume.get("type") == "bind" and str(volume.get("target", "")).startswith(_INITIAL)


def _without_value(value: object, values: Mapping[str, str]) -> str | None:
    """Return the first variable in a service that nothing gives a value."""
    for match in _REFERENCE.finditer(json.dumps(value)):
        variable = match["braced"] or match["bare"]
        if variable not in values and not (match["more"] or "").startswith((":-", "-", ":+", "+")):
            return variable
    return None


def _plain(text: object) -> str:
    """Return a text of Compose's answer, in which a dollar sign is written twice."""
    return str(text).replace("$$", "$")


def _port(name: str, port: Mapping[str, Any]) -> tuple[int, int, str]:
    published = str(port.get("published") or "")
    if not published.isascii() or not published.isdecimal():
        raise NotAlike(f"`{name}` leaves the port of this machine open that leads to {port['target']}")
    return int(published), int(port["target"]), str(port.get("protocol", "tcp"))


def _health(name: str, check: Mapping[str, Any]) -> dict[str, str]:
    if not check or check.get("disable"):
        return {}
    test = check.get("test")
    words = [_plain(word) for word in test] if isinstance(test, list) else ["CMD-SHELL", _plain(test or "")]
    if words[:1] == ["NONE"]:
        return {}
    command = shlex.join(words[1:]) if words[:1] == ["CMD"] else " ".join(words[1:])
    if not command or _UNQUOTABLE.search(command):
        raise NotAlike(f"the health check of `{name}` has signs that an option of Docker's cannot have")
    return {"cmd": command, **{ours: str(check[key]) for key, ours in _HEALTH.items() if key in check}}
