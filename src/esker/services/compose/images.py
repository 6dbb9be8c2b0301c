"""The images of services in containers: pulled or built by Compose, before the services start and without a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.activate.compose.docker_command import answered, compose_command, engine_refused
from esker.errors import CommandFailed, ServiceError
from esker.host import process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.activate.compose.project import ComposeProject

__all__ = ["provide_images"]


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
        words = [*compose_command(project.files, project.name), verb, *wanted]
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
    done = answered(words, project.variables, project.directory)
    if done.returncode and "no such image" not in done.stderr.lower():
        raise engine_refused(done.stderr)
    return done.returncode == 0
