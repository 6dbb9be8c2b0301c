"""The chambers by name, and which chamber goes with which runtime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.declare.declaration import Declaration
    from esker.services.chamber import Chamber, ServiceActivation
    from esker.settings import Settings

__all__ = ["CHAMBERS", "chamber"]

CHAMBERS = {"supervised": "esker.services.supervised.planned", "flox": "esker.services.flox.chamber"}
"""Name to a module with a function `chamber(project, settings, environ, activation)`; imported when first used."""
_DEFAULT = "supervised"


def chamber(
    runtime: str,
    project: str,
    settings: Settings,
    environ: Mapping[str, str],
    activation: ServiceActivation,
    declaration: Declaration | None = None,
) -> Chamber:
    """Return the chamber for the runtime of this name: the chamber of the same name, else the supervised one.

    A project without `.flox` has the supervised one, and its `declaration` is given.
    """
    module = import_module(CHAMBERS.get(runtime, CHAMBERS[_DEFAULT]))
    given = () if declaration is None else (declaration,)
    services: Chamber = module.chamber(project, settings, environ, activation, *given)
    return services
