"""Activating an earlier generation of an environment: nothing is locked or installed, since its profile is kept."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.activate import plan as plans
from esker.declare import project_directory, trust
from esker.declare.generations import declared_then, find, run_link
from esker.errors import StoreError
from esker.host import files
from esker.progress import Silent
from esker.runtimes.native.planning import Target, declared_mode, planned
from esker.runtimes.native.preparation import toolchain_of
from esker.runtimes.native.project_lock import alone
from esker.store.store import Store

if TYPE_CHECKING:
    from esker.activate.plan import Plan
    from esker.declare.declaration import Declaration
    from esker.settings import Settings

__all__ = ["plan_of_generation"]


def plan_of_generation(
    project: str, settings: Settings, number: int, *, mode: str | None = None, look: bool = False
) -> Plan:
    """Return the plan for activating `project` (absolute, links resolved) as it was in a generation.

    Its variables, hook, packages and services are those of then; the project's own sources, and its ports, are those of
    now. The link `.flox/run/<system>.<name>.gen<N>-<mode>` is made for it, which keeps nothing from being collected
    unless a process uses it. With `look`, nothing is written. Raises what `find` raises, and NotTrusted.
    """
    trust.check(project, settings)
    plans.check_path(project)
    if look:
        return _plan(project, settings, number, mode, look=True)
    with Store(settings.store_root).using(), alone(project):  # no collection takes it before its link is there
        return _plan(project, settings, number, mode, look=False)


def _plan(project: str, settings: Settings, number: int, mode: str | None, *, look: bool) -> Plan:
    generation = find(project, settings, number)
    declaration = declared_then(project, generation)
    chosen = mode or declared_mode(declaration)
    link = run_link(project, f"{declaration.name}.gen{number}", settings.system, chosen)
    if not look:
        _point(declaration, link, generation.path)
    target = Target(link, generation.path, number, toolchain_of(declaration, settings, Silent(), look=look))
    return planned(declaration, chosen, target, (), settings, keep_ports=not look)


def _point(declaration: Declaration, link: str, profile: str) -> None:
    """Make the link lead to the profile, and remove links of generations that are gone."""
    stem = f"{declaration.name}.gen"
    with project_directory.writable(declaration.dot_flox, "run", mode=0o755) as directory:
        for name in os.listdir(directory):
            if stem in name and _is_dangling(name, directory):
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)
        with suppress(OSError):
            if os.readlink(os.path.basename(link), dir_fd=directory) == profile:
                return
        files.replace_link(link, profile, directory=directory, error=StoreError)


def _is_dangling(name: str, directory: int) -> bool:
    try:
        target = os.readlink(name, dir_fd=directory)
    except OSError:  # no link
        return False
    return not os.path.lexists(target)
