"""The native runtime: from a project directory to the plan of its activation, by the shortest way that is right.

A warm call reads one small file and stats what it was made from; everything else is in `preparation`, imported when
something has changed. This module is on the path of every activation: it imports nothing heavier than json.
"""

from __future__ import annotations

import os

from esker.activate import plan as plans
from esker.declare import trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.plan import Plan
    from esker.progress import Progress

__all__ = ["prepare"]


def prepare(
    project: str,
    environ: Mapping[str, str],
    *,
    mode: str | None = None,
    locked: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Return the plan for activating `project` (absolute, links resolved), made anew where something has changed.

    A stale lock is made again, or refused (`StaleLock`) when `locked`. `mode` is `dev`, `run` or None for the
    manifest's own. Raises `NotTrusted` for somebody else's project, and what the stages raise.
    """
    trust.check(project, environ, uid=os.geteuid())
    known = plans.warm(project, environ, mode)
    if known is not None:
        return known
    from esker.runtimes.native.preparation import prepare_anew

    return prepare_anew(project, environ, mode=mode, locked=locked, progress=progress)
