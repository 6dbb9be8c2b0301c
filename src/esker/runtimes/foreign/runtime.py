"""The runtime of a project that is declared for another tool, without `.flox`.

A warm activation reads one small file, the plan, and stats what the plan was made from: it does not start the tool.
This module is on its path: it imports nothing heavy, not even `json`.
"""

from __future__ import annotations

from esker.activate import plan as plans
from esker.activate.composition import active_tool_choice
from esker.declare import trust
from esker.runtimes.foreign.place import place
from esker.runtimes.native.runtime import PlannedRuntime
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.plan import Plan
    from esker.declare.declaration import Declaration
    from esker.progress import Progress

__all__ = ["ForeignRuntime", "prepare", "runtime"]


def prepare(
    name: str,
    project: str,
    settings: Settings,
    *,
    mode: str | None = None,
    progress: Progress | None = None,
    look: bool = False,
) -> Plan:
    """Return the plan for activating `project` (absolute, links resolved) by the tool of the runtime `name`.

    With `look`, nothing is asked of the tool and nothing is written. Raises `NotTrusted` for another user's project.
    """
    if not settings.tool_refresh:
        plan = plans.warm(project, settings.choices, mode, settings.caller, place(project, name, settings))
        if plan is not None:
            trust.check(project, settings, plan.stats[0][0][len(project) + 1 :])
            return plan
    from esker.runtimes.foreign.preparation import prepare_stale

    return prepare_stale(project, name, settings, mode=mode, progress=progress, look=look)


class ForeignRuntime(PlannedRuntime):
    """The environment of one project, as another tool gives it."""

    def __init__(self, name: str, project: str, mode: str | None = None) -> None:
        super().__init__(project, mode)
        self.name = name
        """What the registry calls the runtime."""

    def declaration(self, settings: Settings) -> Declaration:
        """Return what the project declares."""
        from esker.runtimes.foreign.preparation import declaration_of

        return declaration_of(self.project, self.name, settings)

    def _plan(self, environ: Mapping[str, str]) -> Plan:
        choice = self.tool_choice or active_tool_choice(place(self.project, self.name, Settings(environ)), environ)
        settings = Settings(environ, tool_choice=choice, tool_refresh=self.tool_refresh)
        return prepare(self.name, self.project, settings, mode=self.mode)


def runtime(project: str, mode: str | None = None, *, tool: str) -> ForeignRuntime:
    """Return the runtime of a project (absolute, links resolved) that is declared for a tool."""
    return ForeignRuntime(tool, project, mode)
