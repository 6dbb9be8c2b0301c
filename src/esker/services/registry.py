"""The chambers there are, by name, and which of them goes with a runtime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.services.chamber import Chamber, ServiceActivation
    from esker.settings import Settings

__all__ = ["CHAMBERS", "chamber"]

CHAMBERS = {"supervised": "esker.services.supervised.chamber", "flox": "esker.services.flox.chamber"}
"""Name to a module that has a function `chamber(project, settings, environ, activation)`, loaded on first use."""
_DEFAULT = "supervised"


def chamber(
    runtime: str, project: str, settings: Settings, environ: Mapping[str, str], activation: ServiceActivation
) -> Chamber:
    """Return the services beside the runtime of this name: a chamber of the same name, else the supervised one."""
    module = import_module(CHAMBERS.get(runtime, CHAMBERS[_DEFAULT]))
    made: Chamber = module.chamber(project, settings, environ, activation)
    return made
