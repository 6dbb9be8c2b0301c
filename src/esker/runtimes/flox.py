"""Flox as a runtime: its own command activates the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.activate.active import Begun
from esker.activate.difference import difference
from esker.activate.flox import holder
from esker.activate.flox.command import FloxCommand
from esker.declare import trust
from esker.host.clock import Deadline
from esker.runtimes.protocol import Runtime
from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FloxRuntime", "runtime"]


class FloxRuntime(Runtime):
    """The environment of one project, activated by the `flox` on PATH."""

    name = "flox"

    def __init__(self, project: str) -> None:
        self.project = project
        self._command = FloxCommand(project)

    def begin(self, environ: Mapping[str, str], deadline: Deadline | None = None) -> Begun:
        """Begin an activation: return what Flox changes in a caller's variables.

        A process of ours stays inside the activation until its end.
        """
        trust.check_contents(self.project, Settings(environ))
        held = holder.attach_holder(self._command.activate, environ, deadline or Deadline())
        return Begun(difference(environ, held.variables), held.leave)


def runtime(project: str, mode: str | None = None) -> FloxRuntime:  # noqa: ARG001 - Flox takes the manifest's own mode
    """Return Flox's runtime of a project (absolute, links resolved)."""
    return FloxRuntime(project)
