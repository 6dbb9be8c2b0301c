"""Everything that Flox's command plays for one project, in one object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.activate.flox.command import FloxCommand
from esker.flox.editor import FloxEditor
from esker.host import variables
from esker.runtimes import flox
from esker.services.flox.chamber import FloxChamber
from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.active import Begun
    from esker.host.clock import Deadline

__all__ = ["FloxEngine"]


class FloxEngine:
    """The command, and the runtime, chamber and editor that drive it."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.command = FloxCommand(project)
        self.services = FloxChamber(self.command, Settings(variables.current()))
        self.editor = FloxEditor(self.command)

    def begin(self, environ: Mapping[str, str], deadline: Deadline) -> Begun:
        """Activate as the runtime does."""
        return flox.runtime(self.project).begin(environ, deadline)
