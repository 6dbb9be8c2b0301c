"""The Compose project of an environment: its name, services and ports, worked out with Compose once and then kept.

What is kept lies in `.flox/cache/esker/compose.json`. It holds while the Compose files, what they take from others, and
the variables that they are interpolated with are the same; then no program is started to know it.

Where a file leaves a port of this machine open, Docker would give another one at every start. So Esker chooses it, as
it does for services of its own, and says so in an override file that comes last. A hand-typed `docker compose` meets
the same containers, because an activation exports COMPOSE_PROJECT_NAME and, with an override, COMPOSE_FILE.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from esker.activate.allocation import allocate, allocate_also
from esker.activate.compose import configuration
from esker.activate.compose.configuration import ComposePort, ComposeService, Configuration
from esker.activate.compose.docker_command import GLANCE_SECONDS, answered
from esker.activate.compose.files import KEPT, compose_files, inputs_digest, override_path, own_variables, read_files
from esker.activate.expansion import expanded, needs_bash
from esker.declare import project_directory, trust
from esker.errors import EskerError, ServiceError
from esker.formats.manifest import vars_in_order
from esker.host import files, state_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.declare.declaration import Declaration
    from esker.settings import Settings

__all__ = [
    "ComposeProject",
    "compose_project",
    "exported",
    "forget",
    "kept_path",
    "last_project",
    "needed_files",
    "other_ports",
    "port_variables",
    "services_from",
]

_VERSION = 2


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down of a project."""

    version: int
    inputs: str
    name: str
    own_name: str
    """The name that Compose would take by itself."""
    is_named: bool
    """Whether the name can be no other checkout's: the engine has containers of this one, or the name has a suffix."""
    services: dict[str, ComposeService]
    hashes: dict[str, tuple[str, ...]]
    port_inputs: dict[str, list[str]] = {}
    files: tuple[str, ...] = ()
    has_override: bool = False
    unset: tuple[str, ...] = ()
    """The variables that Compose has taken as empty; their names only."""
    mapped: dict[str, str | None] = {}
    """What the variables that name ports of containers were when Compose was asked; None if they were not set."""


class ComposeProject(NamedTuple):
    """The Compose project of an environment."""

    name: str
    directory: str
    """Where Compose is called: the directory of the environment."""
    files: tuple[str, ...]
    """The Compose files, with the override of Esker's own last if there is one."""
    has_override: bool
    services: Mapping[str, ComposeService]
    """The services, with the ports that Esker has chosen."""
    hashes: Mapping[str, tuple[str, ...]]
    """By service: Compose's hashes of its configuration, with the override and without."""
    port_inputs: Mapping[str, tuple[str, ...]]
    """By service: the variables that its ports are made from."""
    variables: Mapping[str, str]
    """The variables that Compose interpolates from; they may hold secrets."""
    unset: tuple[str, ...] = ()
    """The variables that the files name and that are not set."""


def compose_project(declaration: Declaration, settings: Settings, environ: Mapping[str, str]) -> ComposeProject | None:
    """Return the Compose project of an environment, or None if it has none; `environ` are the caller's variables.

    Raises NotTrusted where Compose would have to read the files of a stranger's project, ServiceError if it refuses,
    NoEngine if it is not here but needed, and HostError if no port is free.
    """
    paths = needed_files(declaration, settings, environ)
    if not paths:
        return None
    variables = _variables(declaration, settings, environ)
    contents = read_files(paths)
    own = override_path(declaration.dot_flox)
    kept = _read(declaration.dot_flox)
    variables.pop("COMPOSE_FILE", None)  # the files are named, and the variable may name the override too
    if kept is not None and variables.get("COMPOSE_PROJECT_NAME") == kept.name:
        del variables["COMPOSE_PROJECT_NAME"]  # an activation has exported it
    mapped = _mapped(declaration)
    inputs = inputs_digest(contents, {name: value for name, value in variables.items() if name not in mapped})
    holds = kept is not None and kept.inputs == inputs and _holds(kept, variables, mapped, own)
    now = _confirmed(kept, paths, variables, declaration) if kept is not None and holds else None
    if now is None:
        # Compose reads what the files name, also on servers, whose addresses may have variables of the caller in them.
        declared = ".flox" if os.path.exists(f"{declaration.project}/.flox") else "."
        trust.check_files(declaration.project, settings, declared, paths)
        now = _asked(declaration, settings, paths, variables, kept)
        before = {name: variables.get(name) for name in mapped}
        now = msgspec.structs.replace(now, inputs=inputs, mapped=before, files=paths)
    if now != kept:
        _write(declaration, now)
    return _project(now, declaration.project, declaration.dot_flox, paths, variables)


def needed_files(declaration: Declaration, settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the Compose files that an environment takes services from; none if it has none.

    It has none either where all containers that it could use are services of this machine by choice. Raises
    ServiceError as `compose_files` does.
    """
    if not declaration.uses_compose or _all_supervised(declaration, settings):
        return ()
    return compose_files(declaration, environ)


def last_project(project: str, dot_flox: str, environ: Mapping[str, str]) -> ComposeProject | None:
    """Return the project as Compose has last described it, or None: to look at its containers, and to stop them.

    Nothing is asked, so it does not matter what is wrong with the files by now. What is kept may have come with the
    checkout: it counts only if its Compose files lie in the checkout, and so only for containers made for that.
    """
    kept = _read(dot_flox)
    if kept is None or not kept.files:
        return None
    if not all(os.path.normpath(path).startswith(f"{project}/") for path in kept.files):
        return None
    return _project(kept, project, dot_flox, kept.files, own_variables(environ, dot_flox))


def _project(
    kept: _Kept, project: str, dot_flox: str, paths: tuple[str, ...], variables: Mapping[str, str]
) -> ComposeProject:
    return ComposeProject(
        name=kept.name,
        directory=project,
        files=(*paths, override_path(dot_flox)) if kept.has_override else paths,
        has_override=kept.has_override,
        services=kept.services,
        hashes=kept.hashes,
        port_inputs={name: tuple(names) for name, names in kept.port_inputs.items()},
        variables=variables,
        unset=kept.unset,
    )


def services_from(declaration: Declaration, settings: Settings) -> str | None:
    """Return which counts of two declarations of one service: `supervised`, `compose`, or None where nobody says so."""
    table = declaration.esker.compose
    return settings.services_from or (table.services_from if table else None)


def _all_supervised(declaration: Declaration, settings: Settings) -> bool:
    chosen = {*declaration.esker.compose.chosen} if declaration.esker.compose else set()
    supervised = services_from(declaration, settings) == "supervised"
    return supervised and bool(chosen) and chosen <= {*declaration.services_for(settings.system)}


def kept_path(dot_flox: str) -> str:
    """Return the path of the file in which what Compose says is kept."""
    return f"{dot_flox}/cache/esker/{KEPT}"


def _mapped(declaration: Declaration) -> dict[str, tuple[str, int]]:
    """Return the service and the port of its container that each variable of the manifest is for."""
    tables = declaration.esker.compose.tables if declaration.esker.compose else {}
    return {variable: (name, port) for name, table in tables.items() for variable, port in table.ports.items()}


def _holds(kept: _Kept, variables: Mapping[str, str], mapped: Mapping[str, tuple[str, int]], override: str) -> bool:
    """Return whether what is kept holds for the variables that name ports.

    Such a variable may be what it was then, or what an activation has exported since: the port itself.
    """
    for name, (service, target) in mapped.items():
        published = (
            {port.published for port in kept.services[service].ports if port.target == target}
            if (service in kept.services)
            else set()
        )
        if name not in kept.mapped or variables.get(name) not in {kept.mapped[name], *published}:
            return False
    return not kept.has_override or os.path.exists(override)


def exported(project: ComposeProject, declaration: Declaration) -> dict[str, str]:
    """Return the variables that every activation of the environment gets from its Compose project.

    Raises ServiceError as `port_variables` does.
    """
    variables = {"COMPOSE_PROJECT_NAME": project.name}
    if project.has_override:
        variables["COMPOSE_FILE"] = os.pathsep.join(project.files)
    return variables | {name: str(port) for name, port in port_variables(project, declaration).items()}


def port_variables(project: ComposeProject, declaration: Declaration, *services: str) -> dict[str, int]:
    """Return the port of this machine for each variable that names a port of a container, of all services or of some.

    Raises ServiceError if a port that the manifest gives a variable is not published as one port.
    """
    variables = {}
    for variable, (name, target) in _mapped(declaration).items():
        service = project.services.get(name)
        if service is None:
            listed = ", ".join(f"`{each}`" for each in sorted(project.services))
            raise ServiceError(
                f"the Compose files have no service `{name}`, but [plugins.esker.compose.services] has a table for it",
                hint=f"the services there are {listed}" if listed else "add it to the Compose file",
            )
        if not services or name in services:
            variables[variable] = _published(service, target, variable)
    return variables


def other_ports(project: ComposeProject, declaration: Declaration, *services: str) -> dict[str, int]:
    """Return the ports of this machine that no variable names, of all services or of some, as `db:5432/tcp`."""
    named = {*_mapped(declaration).values()}
    return {
        _place(service, port): port.number
        for service in project.services.values()
        for port in service.ports
        if port.number and (service.name, port.target) not in named and (not services or service.name in services)
    }


def forget(declaration: Declaration) -> None:
    """Let the next command ask Compose again, and choose ports again where the checkout has given them up."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(kept_path(declaration.dot_flox))


def _published(service: ComposeService, target: int, variable: str) -> int:
    found = [port for port in service.ports if port.target == target]
    if not found:
        listed = ", ".join(f"`{port.target}`" for port in service.ports)
        raise ServiceError(
            f"`{service.name}` publishes no port {target}, which `{variable}` is for",
            hint=f"the ports there are {listed}" if listed else f'add `ports: ["127.0.0.1::{target}"]` to it',
        )
    number = found[0].number
    if number is None:
        raise ServiceError(
            f"port {target} of `{service.name}` is published as `{found[0].published}`, which is not one port",
            hint=f"state one port, or leave it open, so that `{variable}` has a value",
        )
    return number


def _variables(declaration: Declaration, settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what Compose interpolates from: the caller's variables, `[vars]` that need no bash, automatic ports."""
    variables = own_variables(environ, declaration.dot_flox)
    for name, text in vars_in_order(declaration.manifest.vars):
        if not needs_bash(text):
            with suppress(OverflowError):
                variables[name] = expanded(text, variables)
    variables.update((name, str(port)) for name, port in allocate(declaration, settings).items())
    return variables


def _asked(
    declaration: Declaration,
    settings: Settings,
    paths: tuple[str, ...],
    environ: Mapping[str, str],
    kept: _Kept | None,
) -> _Kept:
    """Ask Compose for everything, choose the ports that its files leave open, and write the override."""
    directory = declaration.project
    found = configuration.ask(paths, environ, directory)
    own_name = found.name
    name, is_named = _name(own_name, paths, environ, directory, kept)
    if name != own_name:  # the names of volumes have it too
        found = configuration.ask(paths, environ, directory, name)
    services, has_override = _with_ports(declaration, settings, found, environ)
    own = (*paths, override_path(declaration.dot_flox))
    plain = configuration.hashes(paths, environ, directory, name)
    ours = configuration.hashes(own, environ, directory, name) if has_override else plain
    return _Kept(
        version=_VERSION,
        inputs="",
        name=name,
        own_name=own_name,
        is_named=is_named,
        services=services,
        hashes={each: tuple(dict.fromkeys((ours[each], plain[each]))) for each in services},
        port_inputs=configuration.port_inputs(paths, environ, directory) if _mapped(declaration) else {},
        has_override=has_override,
        unset=found.unset,
    )


def _confirmed(
    kept: _Kept, paths: tuple[str, ...], environ: Mapping[str, str], declaration: Declaration
) -> _Kept | None:
    """Return what is kept if the project still has that name; another checkout may have taken it before ours did."""
    name, is_named = _name(kept.own_name, paths, environ, declaration.project, kept)
    return msgspec.structs.replace(kept, is_named=is_named) if name == kept.name else None


def _name(
    own_name: str, paths: tuple[str, ...], environ: Mapping[str, str], directory: str, kept: _Kept | None
) -> tuple[str, bool]:
    """Return the project's name, and whether it is certain, which it is not before the engine has containers of it.

    It is Compose's own name, with a suffix if the engine has that for another directory.
    """
    if kept is not None and kept.own_name == own_name and kept.is_named:
        return kept.name, True
    label = '{{.Label "com.docker.compose.project.working_dir"}}'
    words = ["docker", "ps", "-a", "--filter", f"label=com.docker.compose.project={own_name}", "--format", label]
    try:
        listed = answered(words, environ, directory, seconds=GLANCE_SECONDS)
    except ServiceError:
        return own_name, False  # a start will say so
    if listed.returncode:
        return own_name, False
    found = {os.path.realpath(line.strip()) for line in listed.stdout.splitlines()}
    if found <= {os.path.realpath(os.path.dirname(paths[0]))}:
        return own_name, bool(found)
    return f"{own_name}-{hashlib.blake2b(os.fsencode(directory), digest_size=3).hexdigest()}", True


def _with_ports(
    declaration: Declaration, settings: Settings, found: Configuration, environ: Mapping[str, str]
) -> tuple[dict[str, ComposeService], bool]:
    """Return the services with a port for each one that is open, and whether an override says so."""
    path = override_path(declaration.dot_flox)
    open_ports = {
        _place(service, port): (service, port)
        for service in found.services.values()
        for port in service.ports
        if not port.published
    }
    if not open_ports:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)
        return found.services, False
    configuration.check_version(environ, declaration.project)
    chosen = allocate_also(declaration, settings, sorted(open_ports))
    services = dict(found.services)
    for name in sorted({service.name for service, _ in open_ports.values()}):
        service = services[name]
        ports = tuple(
            port if port.published else msgspec.structs.replace(port, published=str(chosen[_place(service, port)]))
            for port in service.ports
        )
        services[name] = msgspec.structs.replace(service, ports=ports)
    changed = {name: service for name, service in services.items() if service != found.services[name]}
    with project_directory.writable(declaration.dot_flox, "cache", "esker") as directory:
        files.write_changed(path, _override(changed).encode(), directory=directory)
    return services, True


def _place(service: ComposeService, port: ComposePort) -> str:
    """Return the name that an open port has among the automatic ports; no variable can have it."""
    return f"{service.name}:{port.target}/{port.protocol}"


def _override(services: Mapping[str, ComposeService]) -> str:
    """Return the Compose file that replaces the ports of services; values in JSON, which is YAML too."""
    lines = ["# Made by Esker, for the ports that the project's own Compose files leave open.", "services:"]
    for name, service in services.items():
        lines += [f"  {json.dumps(name)}:", "    ports: !override"]
        lines += [f"      - {json.dumps(_long(port))}" for port in service.ports]
    return "\n".join(lines) + "\n"


def _long(port: ComposePort) -> dict[str, object]:
    long = {"mode": port.mode, "host_ip": port.host_ip, "published": port.published, "protocol": port.protocol}
    return {"target": port.target, **{name: value for name, value in long.items() if value}}


def _read(dot_flox: str) -> _Kept | None:
    record = state_file.read(kept_path(dot_flox), version=_VERSION, as_directory=True)
    try:
        kept = msgspec.convert(record, _Kept)
        msgspec.json.encode(kept)  # refuses text that is no Unicode, which could not be shown
    except (msgspec.ValidationError, ValueError):
        return None
    is_whole = all(kept.hashes.get(name) and service.name == name for name, service in kept.services.items())
    return kept if is_whole else None


def _write(declaration: Declaration, kept: _Kept) -> None:
    """Keep what was worked out; where nothing can be written, it is worked out again each time."""
    with (
        suppress(EskerError, OSError),
        project_directory.writable(declaration.dot_flox, "cache", "esker") as directory,
    ):
        data = msgspec.json.encode(kept) + b"\n"
        files.write_changed(kept_path(declaration.dot_flox), data, directory=directory)
