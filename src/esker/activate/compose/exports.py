"""What the Compose project of an environment gives every activation, and what this depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.activate import plan as plans
from esker.activate.allocation import expected
from esker.activate.compose.files import candidates, compose_files, read_files
from esker.activate.compose.project import compose_project, exported, kept_path
from esker.errors import EskerError, ServiceError

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
    variables, inputs = _exported(declaration, settings)
    # Its name may become another one without a change of these files.
    named = plans.fingerprints([kept_path(declaration.dot_flox)] if variables else [])
    return Exports(variables, inputs, (*before, *named))


def _exported(
    declaration: Declaration, settings: Settings
) -> tuple[dict[str, str], tuple[tuple[str, str | None], ...]]:
    """Return the variables, and the caller's that they depend on.

    Where the manifest does not speak of Compose, a Compose file that only lies there is no reason to fail.
    """
    try:
        project = compose_project(declaration, settings, settings.caller)
        variables = {} if project is None else exported(project, declaration)
    except ServiceError:
        if declaration.esker.compose is None:
            return {}, ()
        raise
    if project is None:
        return {}, ()
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
