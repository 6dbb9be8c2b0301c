"""The services of a Compose project as services of an environment, in one graph with those of this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.errors import CommandFailed, ServiceError
from esker.host import process
from esker.services.chamber import unknown_service
from esker.services.specification import ContainerSpec, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.activate.compose.project import ComposeProject
    from esker.declare.declaration import ComposeTable, JoinedCondition

__all__ = ["provide_images", "specify_containers"]

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
            stop_grace_period=_seconds(service.stop_grace_period),
            ports=_ports(project, name, tables[name].ports if name in tables else {}),
            container=ContainerSpec(
                service=name,
                project=project.name,
                directory=project.directory,
                files=project.files,
                hashes=project.hashes.get(name, ()),
                image=service.image,
            ),
        )
        for name, service in chosen.items()
    }


def _ports(project: ComposeProject, name: str, variables: Mapping[str, int]) -> dict[str, int]:
    """Return the published ports of a service, by the variable that names one, else by the container's own port."""
    named = {target: variable for variable, target in variables.items()}
    return {
        named.get(port.target, f"{port.target}/{port.protocol}"): port.number
        for port in project.services[name].ports
        if port.number
    }


def _seconds(text: str) -> float:
    """Return the seconds of a duration as Compose writes it.

    >>> _seconds("1m30s"), _seconds("500ms")
    (90.0, 0.5)
    """
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def provide_images(project: ComposeProject, names: Iterable[str]) -> None:
    """Have Compose pull or build the images of services that are not here yet, and show the person what it does.

    Networks and containers are not touched. Raises ServiceError for an image that cannot be had.
    """
    services = [project.services[name] for name in names if name in project.services]
    images = {service.name: service.image or f"{project.name}-{service.name}" for service in services}
    if not images or _are_here([*images.values()], project):
        return
    missing = [service for service in services if not _are_here([images[service.name]], project)]
    for verb, wanted in (
        ("build", [service.name for service in missing if service.is_built]),
        ("pull", [service.name for service in missing if not service.is_built]),
    ):
        if not wanted:
            continue
        files = [word for file in project.files for word in ("--file", file)]
        begin = ["docker", "compose", *files, "--project-directory", project.directory]
        words = [*begin, "--project-name", project.name, verb, *wanted]
        try:
            process.run(words, environ=project.variables, cwd=project.directory, capture=False)
        except CommandFailed as failure:
            listed = ", ".join(f"`{images[name]}`" for name in wanted)
            ways = "correct the build" if verb == "build" else "correct the image's name, log in, or build it"
            raise ServiceError(
                f"Compose could not {verb} what `{'`, `'.join(wanted)}` needs: the image {listed} is not here",
                hint=f"{ways}; Compose's own words stand above",
            ) from failure


def _are_here(images: list[str], project: ComposeProject) -> bool:
    words = ["docker", "image", "inspect", "--format", "{{.Id}}", *images]
    done = process.run(words, environ=project.variables, cwd=project.directory, check=False)
    if done.returncode and "no such image" not in done.stderr.lower():
        raise ServiceError(
            f"the container engine does not answer: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}",
            hint="start the engine, or name another one in DOCKER_HOST or with `docker context use`",
        )
    return done.returncode == 0
