"""The runtime `venv`: what a warm activation of a Python project needs, which is little."""

from __future__ import annotations

from esker.runtimes.foreign import runtime as foreign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from esker.activate.plan import Plan
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = ["prepare", "runtime"]

_NAME = "venv"


def prepare(
    project: str,
    settings: Settings,
    *,
    mode: str | None = None,
    progress: Progress | None = None,
    look: bool = False,
) -> Plan:
    """Return the plan for activating `project` (absolute, links resolved), as `foreign.runtime.prepare` does."""
    return foreign.prepare(_NAME, project, settings, mode=mode, progress=progress, look=look)


def runtime(project: str, mode: str | None = None) -> foreign.ForeignRuntime:
    """Return the runtime of a project (absolute, links resolved)."""
    return foreign.ForeignRuntime(_NAME, project, mode)
