"""What the Compose project of an environment gives every activation, and what this depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.activate import plan as plans
from esker.activate.allocation import expected
from esker.activate.compose.files import candidates, compose_files, read_files
from esker.activate.compose.project import compose_project, exported, kept_path
from esker.errors import EskerError, NoEngine, ServiceError

if TYPE_CHECKING:
    from esker.activate.plan import Fingerprint
    from esker.declare.declaration import Declaration
    from esker.settings import Settings

__all__ = ["Exports", "compose_exports"]


class Exports(NamedTuple):
    """What the Compose project of an environment gives every activation."""

    variables: dict[str, str]
    inputs: tuple[tuple[str, str | None], ...]
    """The caller's variables that this depends on, with their values."""
    stats: tuple[Fingerprint, ...]
    """The files that this depends on."""


def compose_exports(declaration: Declaration, settings: Settings) -> Exports:
    """Return what the Compose project of an environment gives every activation."""
    before = plans.fingerprints(_sources(declaration, settings))
    try:
        variables, inputs = _exported(declaration, settings)
        is_kept = bool(variables)
    except ServiceError as error:
        _check_mapped(declaration, error)
        variables, inputs, is_kept = {}, (), True
    # Its name may become another one without a change of these files; and where Compose was missing, it may come.
    named = plans.fingerprints([kept_path(declaration.dot_flox)] if is_kept else [])
    return Exports(variables, inputs, (*before, *named))


def _check_mapped(declaration: Declaration, error: ServiceError) -> None:
    """Raise what is wrong with the containers where the manifest takes a variable from one; elsewhere it is no matter.

    Without its value a program would take the port of a server that is not the project's.
    """
    tables = declaration.esker.compose.tables if declaration.esker.compose else {}
    mapped = [(variable, name) for name, table in tables.items() for variable in table.ports]
    if not mapped:
        return
    if not isinstance(error, NoEngine):
        raise error
    variable, name = mapped[0]
    raise NoEngine(
        f"`{variable}`, a port of the container `{name}`, cannot be known: {error.message}",
        hint=f"{error.hint}; to read the Compose files, no engine has to run",
    ) from error


def _exported(
    declaration: Declaration, settings: Settings
) -> tuple[dict[str, str], tuple[tuple[str, str | None], ...]]:
    """Return the variables, and the caller's that they depend on; raises ServiceError."""
    project = compose_project(declaration, settings, settings.caller)
    variables = {} if project is None else exported(project, declaration)
    if project is None:
        return {}, (("ESKER_SERVICES_FROM", settings.services_from),) if declaration.esker.compose else ()
    own = {*declaration.manifest.vars, *expected(declaration, settings)}
    names = {"COMPOSE_FILE", "COMPOSE_PROJECT_NAME"}.union(*project.port_inputs.values()) - own
    return variables, tuple((name, settings.caller.get(name)) for name in sorted(names))


def _sources(declaration: Declaration, settings: Settings) -> tuple[str, ...]:
    """Return the files that decide what the Compose project gives."""
    if not declaration.uses_compose:
        return ()
    try:
        found = read_files(compose_files(declaration, settings.caller))
    except EskerError:
        found = {}
    return tuple(sorted({*found, *candidates(declaration)}))
