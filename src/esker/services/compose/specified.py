"""The services of a Compose project as services of an environment, in one graph with those of this machine."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from esker.errors import ServiceError
from esker.services.chamber import unknown_service
from esker.services.specification import ContainerSpec, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.compose.configuration import ComposeService
    from esker.activate.compose.project import ComposeProject
    from esker.declare.declaration import ComposeTable, JoinedCondition

__all__ = ["published_host", "specify_containers"]

_LOOPBACKS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound to them here
"""How a client on the engine's own machine reaches what is published at every address."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")


def specify_containers(project: ComposeProject, table: ComposeTable | None) -> dict[str, ServiceSpec]:
    """Return the services of a Compose project that an environment uses, by name; each with its dependencies.

    Raises ServiceError for a service that is not there, or that Esker cannot run.
    """
    chosen, pending = {}, list((table.chosen if table else ()) or project.services)
    tables = table.tables if table else {}
    while pending:
        name = pending.pop()
        service = project.services.get(name)
        if service is None:
            raise unknown_service(name, [*project.services])
        if name in chosen:
            continue
        if service.replicas != 1:
            raise ServiceError(
                f"`{name}` has {service.replicas} replicas in the Compose file, and Esker runs one of each service",
                hint="take `replicas` or `scale` out, perhaps in an override file",
            )
        chosen[name] = service
        pending += [target for target in service.depends_on if target in project.services]
    depends_on: dict[str, dict[str, JoinedCondition]] = {
        name: {
            target: how.condition  # type: ignore[misc]  # Compose's words are ours, and were checked
            for target, how in service.depends_on.items()
            if target in chosen or how.required
        }
        | dict(tables[name].depends_on if name in tables else {})
        for name, service in chosen.items()
    }
    return {
        name: ServiceSpec(
            name=name,
            command="",
            depends_on=depends_on[name],
            restarts_with=tuple(target for target, how in service.depends_on.items() if how.restart),
            stop_grace_period=_seconds(service.stop_grace_period),
            ports=_ports(project, name, tables[name].ports if name in tables else {}),
            container=ContainerSpec(
                service=name,
                project=project.name,
                directory=os.path.dirname(project.files[0]),
                files=project.files,
                hashes=project.hashes[name],
                container_name=service.container_name,
                shared_volumes=_shared_volumes(project, service),
                port_variables=_port_variables(service, tables[name].ports if name in tables else {}),
                start_interval=_seconds(service.start_interval) or None,
            ),
        )
        for name, service in chosen.items()
    }


def published_host(service: ComposeService, engine: str = "") -> str | None:
    """Return the host at which the ports of a service can be reached; None if it has no ports, or several hosts.

    `engine` is DOCKER_HOST, which may name an engine of another machine.
    """
    try:
        address = urlsplit(engine)
        elsewhere = address.hostname if address.scheme in {"tcp", "ssh"} else None
    except ValueError:
        elsewhere = None
    places = {(elsewhere if port.host_ip in _LOOPBACKS else None) or _reached(port.host_ip) for port in service.ports}
    return places.pop() if len(places) == 1 else None


def _reached(address: str) -> str:
    return _LOOPBACKS.get(address, address)


def _ports(project: ComposeProject, name: str, variables: Mapping[str, int]) -> dict[str, int]:
    """Return the published ports of a service, by the variable that names one, else by the container's own port."""
    named = {target: variable for variable, target in variables.items()}
    return {
        named.get(port.target, f"{port.target}/{port.protocol}"): port.number
        for port in project.services[name].ports
        if port.number
    }


def _port_variables(service: ComposeService, variables: Mapping[str, int]) -> dict[str, str]:
    protocols = {port.target: port.protocol for port in service.ports}
    return {name: f"{target}/{protocols[target]}" for name, target in variables.items() if target in protocols}


def _shared_volumes(project: ComposeProject, service: ComposeService) -> tuple[str, ...]:
    """Return the volumes whose names do not begin with the project's: those that are external, or have a `name`."""
    named = [volume for volume in service.volumes if not volume.startswith(f"{project.name}_")]
    return (*service.external_volumes, *named)


def _seconds(text: str) -> float:
    """Return the seconds of a duration as Compose writes it.

    >>> _seconds("1m30s"), _seconds("500ms")
    (90.0, 0.5)
    """
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
