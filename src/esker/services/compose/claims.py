"""What containers of other checkouts have already: a project's name, a container's name, a volume, a port.

The engine has each of them once, for all checkouts on the machine. Two servers on one volume would destroy its data,
and Docker does not prevent that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.services.compose.container import Container
    from esker.services.specification import ContainerSpec

__all__ = ["check", "check_directory", "check_ports", "is_of"]


def check_directory(spec: ContainerSpec, containers: Iterable[Container]) -> None:
    """Raise ServiceError if a container of the project was made for another directory."""
    for container in containers:
        if not is_of(container, spec.directory):
            raise ServiceError(
                f"the Compose project `{spec.project}` belongs to `{container.directory}`",
                hint="give this checkout a name of its own in COMPOSE_PROJECT_NAME, or remove the other's containers: "
                "docker compose down",
            )


def check(spec: ContainerSpec, container: Container) -> None:
    """Raise ServiceError if a container of somebody else has a name or uses a volume that a service needs."""
    if container.project == spec.project:
        return
    owner = f"of `{container.directory}`" if container.directory else "of no Compose project"
    if container.name == spec.container_name:
        raise ServiceError(
            f"the name `{container.name}`, which the Compose file gives the container of `{spec.service}`, has a "
            f"container {owner}",
            hint="take `container_name` out of the Compose file, so that each checkout has a container of its own",
        )
    shared = next((volume for volume in spec.shared_volumes if volume in container.volumes), None)
    if shared and container.runs and container.project:
        raise ServiceError(
            f"the volume `{shared}` of `{spec.service}` is in use by the container `{container.name}` {owner}",
            hint="stop that container first, or let each checkout have a volume of its own: one without `name` and "
            "`external`",
        )


def check_ports(spec: ContainerSpec, container: Container, exported: Mapping[str, int]) -> None:
    """Raise ServiceError if a running container does not have the port that a variable says."""
    for variable, own in spec.port_variables.items():
        port = container.ports.get(own)
        if container.runs and port != exported.get(variable):
            where = "is not published" if port is None else f"is published as {port}"
            raise ServiceError(
                f"port {own} of the running container `{container.name}` {where}, but `{variable}` is "
                f"{exported.get(variable)}",
                hint=f"stop it, and Esker makes it anew: esker services stop --force {spec.service}",
            )


def is_of(container: Container, directory: str) -> bool:
    """Return whether a container was made for the Compose files in a directory, as far as the engine knows."""
    return not container.directory or os.path.realpath(container.directory) == os.path.realpath(directory)
