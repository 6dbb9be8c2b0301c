"""Making the supervised chamber of an environment, from its declaration and its runtime's activation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.allocation import allocate
from esker.activate.compose.project import compose_project, exported, last_project, services_from
from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_generation
from esker.declare.generations import live_declaration
from esker.errors import NoEngine, ServiceError, UsageError
from esker.host import files
from esker.host.frozen_dataclass import replaced
from esker.lock.compose import composed_if_possible
from esker.services.addresses import container_ports
from esker.services.compose.direct import Containers
from esker.services.compose.images import provide_images
from esker.services.compose.specified import specify_containers
from esker.services.compose.unreadable import Unreadable, named_containers, needs_containers
from esker.services.specification import specify
from esker.services.supervised.control import Supervised, Surroundings
from esker.services.supervised.site import site_of
from esker.services.supervised.surroundings import process_surroundings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from esker.activate.compose.project import ComposeProject
    from esker.declare.declaration import Declaration
    from esker.host.clock import Deadline
    from esker.services.chamber import ServiceActivation
    from esker.services.specification import ServiceSpec
    from esker.settings import Settings

__all__ = ["chamber", "joined", "running"]

_CHOICES = ("supervised", "compose")
"""The words for where a service comes from that is declared both ways."""


def chamber(
    project: str,
    settings: Settings,
    environ: Mapping[str, str],
    activation: ServiceActivation,
    bare: Declaration | None = None,
) -> Supervised:
    """Return the supervised services of a project (absolute, links resolved) for a caller with these variables.

    A service gets a short list of the caller's variables, the runtime's changes, and its own `vars`. So it sees the
    same, whoever starts it and from whichever directory. `activation` is called only when services start. `bare` is
    what a project without `.flox` declares.
    """
    if bare is None:
        generation = active_generation(f"{project}/.flox", environ.get(ACTIVE_ENVIRONMENTS))
        # What cannot be merged now is told when the services start: their activation prepares the environment.
        declaration, _ = composed_if_possible(live_declaration(project, settings, generation), settings)
    else:
        declaration = bare
        with files.refused("make", declaration.dot_flox):
            files.make_directory(declaration.dot_flox)
    specs = specify(declaration, settings.system, allocate(declaration, settings))
    containers, direct = _containers(declaration, settings, environ)
    if direct is not None:
        contained_specs = (
            named_containers(declaration, specs)
            if containers is None
            else specify_containers(containers, declaration.esker.compose)
        )
        specs = joined(specs, contained_specs, services_from(declaration, settings))

    def surroundings(names: Collection[str], deadline: Deadline) -> Surroundings:
        contained = {}
        if containers is not None:
            in_containers = [name for name in sorted(names) if specs[name].container]
            try:
                provide_images(containers, in_containers)
            except NoEngine as error:
                raise needs_containers(error, specs, () if len(names) == len(specs) else names) from error
            contained = dict.fromkeys(in_containers, containers.variables)
        if not any(spec.container is None for spec in specs.values()):
            return Surroundings(contained)
        given = process_surroundings(specs, environ, activation, deadline)
        if containers is not None and given.begun is not None:
            try:
                _check_hook(containers, declaration, given.begun.activation.apply(environ))
            except ServiceError:
                given.begun.end()
                raise
        return given._replace(variables={**given.variables, **contained})

    remarks = () if containers is None else _remarks(containers)
    site = site_of(project, declaration.dot_flox, settings.xdg_runtime_dir)
    return Supervised(site, specs, surroundings, direct, remarks)


def _containers(
    declaration: Declaration, settings: Settings, environ: Mapping[str, str]
) -> tuple[ComposeProject | None, Containers | Unreadable | None]:
    """Return the Compose project of an environment and its containers; None for what it has not, or nobody can read."""
    try:
        project = compose_project(declaration, settings, environ)
    except NoEngine as error:
        comes_first = services_from(declaration, settings) == _CHOICES[1]
        activates = not any(container_ports(declaration).values())
        return None, Unreadable(error, declaration.dot_flox, comes_first=comes_first, activates=activates)
    return project, None if project is None else Containers(project, declaration.dot_flox)


def _remarks(project: ComposeProject) -> tuple[str, ...]:
    if not project.unset:
        return ()
    names = ", ".join(f"`{name}`" for name in project.unset)
    return (f"the Compose files name {names}, which nothing sets, so Compose takes an empty text: set it in `.env`",)


def joined(
    processes: Mapping[str, ServiceSpec], containers: Mapping[str, ServiceSpec], choice: str | None
) -> dict[str, ServiceSpec]:
    """Return the services of this machine and those in containers together; `choice` decides where one is both."""
    if choice not in {None, *_CHOICES}:
        raise UsageError(f"ESKER_SERVICES_FROM is `{choice}`", hint=f"set it to {' or '.join(_CHOICES)}")
    for name in sorted(processes.keys() & containers.keys()) if choice is None else ():
        raise ServiceError(
            f"`{name}` is declared twice: in [services], and as a service of the Compose file",
            hint="choose with --services-from supervised|compose or `services-from` in [plugins.esker.compose], "
            "or rename one of them",
        )
    specs = {**containers, **processes} if choice == _CHOICES[0] else {**processes, **containers}
    containers = {name: spec for name, spec in specs.items() if spec.container is not None}
    awaited = {
        target
        for spec in specs.values()
        for target, how in spec.depends_on.items()
        if how == "service_completed_successfully" and target in containers
    }
    return specs | {name: replaced(specs[name], oneshot=True) for name in awaited}


def _check_hook(project: ComposeProject, declaration: Declaration, after: Mapping[str, str]) -> None:
    """Raise ServiceError if the hook has changed a variable that a port of a container was worked out from."""
    tables = declaration.esker.compose.tables if declaration.esker.compose else {}
    own = {variable: name for name, table in tables.items() for variable in table.ports}
    given = exported(project, declaration) if own else {}
    for variable, name in own.items():
        if after.get(variable) != given[variable]:
            raise ServiceError(
                f"the hook sets `{variable}`, which is the port of `{name}`: it leads to {given[variable]}",
                hint="take that line out of the hook; to choose the port, set it before `esker`, or in `.env`",
            )
    for name in tables:
        for variable in project.port_inputs.get(name, ()):
            before = project.variables.get(variable)
            if variable not in own and after.get(variable) != before:
                raise ServiceError(
                    f"the hook sets `{variable}`, which a port of `{name}` in the Compose file is made from",
                    hint="Compose reads it before the hook runs: set it in `[vars]` or in `.env`",
                )


def running(project: str, settings: Settings) -> Supervised:
    """Return the services that run in a project whose declaration cannot be used: to look at them, and to stop them."""
    site = site_of(project, f"{os.path.realpath(project)}/.flox", settings.xdg_runtime_dir)
    containers = last_project(site.project, site.dot_flox, settings.caller)
    direct = None if containers is None else Containers(containers, site.dot_flox)
    return Supervised(site, {}, lambda _names, _deadline: Surroundings({}), direct)
