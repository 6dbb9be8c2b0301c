"""The services of the environment that a command works on, by what is declared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.compose.files import compose_files
from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_generation
from esker.cli.selection import check_version
from esker.declare.generations import live_declaration
from esker.environment import Environment
from esker.errors import InvalidFile, NotTrusted, ServiceError
from esker.lock.compose import composed_if_possible
from esker.runtimes import registry
from esker.services.compose.container import read_started
from esker.services.supervised.chamber import running
from esker.services.supervised.supervisor_record import services_are_running
from esker.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.services.chamber import Chamber

__all__ = ["present_services", "selected_services"]


def _chosen(options: Namespace) -> None:
    """Have this process, and what it starts, take a service that is declared both ways from where the user says."""
    if options.services_from:
        os.environ["ESKER_SERVICES_FROM"] = options.services_from


def present_services(options: Namespace, voice: Voice, project: str) -> Chamber:
    """Return the services of a project; if its declaration cannot be used by now, those that run."""
    try:
        return selected_services(options, voice, project)
    except (InvalidFile, NotTrusted, ServiceError) as error:
        dot_flox = f"{project}/.flox"
        if not (services_are_running(dot_flox) or read_started(dot_flox)):
            raise
        what = "the manifest has a mistake by now:\n" if isinstance(error, InvalidFile) else ""
        voice.remark(f"! these are the services that run; {what}{error.message}")
        return running(project, Settings(os.environ))


def selected_services(options: Namespace, voice: Voice, project: str) -> Chamber:
    """Return the services of a project; raises ServiceError if it declares none for this system."""
    _chosen(options)
    kind = registry.find_project(project, explicit=True, runtime=options.runtime)[1]
    runtime = registry.runtime(kind, project)
    if options.activates:
        from esker.cli.other_runtime import asked

        runtime.ask(asked(options), refresh=options.refresh)
    environment, has_manifest = Environment(project, runtime=runtime), kind == "native"
    if has_manifest:
        settings = Settings(os.environ)
        declaration, problem = composed_if_possible(_live(environment.project), settings)
        check_version(declaration.manifest, voice)
        try:
            if not _has_containers(declaration, voice):
                _require_services(declaration, settings.system, options.name)
        except ServiceError:
            if problem is not None:
                raise problem from None
            raise
    services = environment.services
    if not services.names and not has_manifest and not services.unreadable:
        hint = "declare them in a Compose file, or in a manifest: esker init"
        hint += " (beside a flake or a manifest.scm, with `runtime` in [plugins.esker])"
        raise ServiceError("Environment does not have any services defined.", hint=hint)
    services.like_flox = voice.services_like_flox
    return services


def _has_containers(declaration: Declaration, voice: Voice) -> bool:
    """Return whether services come from Compose files; Flox takes none from a file that only lies there."""
    if voice.services_like_flox and declaration.esker.compose is None:
        return False
    return declaration.uses_compose and bool(compose_files(declaration, os.environ))


def _live(project: str) -> Declaration:
    generation = active_generation(f"{project}/.flox", os.environ.get(ACTIVE_ENVIRONMENTS))
    return live_declaration(project, Settings(os.environ), generation)


def _require_services(declaration: Declaration, system: str, names: Iterable[str]) -> None:
    services = declaration.manifest.services
    if services is None or not services.services:
        hint = "declare one in [services], or add a well-known one: esker services add postgres"
        raise ServiceError("Environment does not have any services defined.", hint=hint)
    if not declaration.services_for(system):
        hint = f"add `{system}` to the `systems` of a service"
        raise ServiceError(f"Environment does not have any services defined for '{system}'.", hint=hint)
    for name in names:
        if name in services.services and name not in declaration.services_for(system):
            hint = f"add `{system}` to its `systems`"
            raise ServiceError(f"Service '{name}' is not available on '{system}'.", hint=hint)
