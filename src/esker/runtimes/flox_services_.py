"""Flox's command as an engine, with its services."""

from __future__ import annotations

from esker.activate.flox.command import FloxCommand
from esker.services.flox.chamber import FloxCommandServices


class FloxWithServices(FloxCommand):
    """The environment of one project, played by the `flox` on PATH."""

    @property
    def services(self) -> FloxCommandServices:
        """Its services."""
        return FloxCommandServices(self)
