"""What the first activation after a change does in a project that is declared for another tool, without `.flox`."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from esker.activate import plan as plans
from esker.activate.compose.exports import compose_exports
from esker.declare import project_directory, trust
from esker.declare.declaration import Declaration, EskerTable
from esker.formats.manifest import PLUGINS_SINCE, Manifest
from esker.host import files, trees
from esker.host.runtime_directory import directory_name
from esker.progress import Silent, reporting
from esker.runtimes import registry
from esker.runtimes.foreign.place import place
from esker.runtimes.foreign.result import result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.activate.plan import Plan
    from esker.declare.declaration import ToolName
    from esker.progress import Progress
    from esker.runtimes.foreign.result import Result
    from esker.settings import Settings

__all__ = ["alone", "declaration_of", "declared_file", "prepare_stale", "toolchain_of"]

_MODE = "dev"


def declaration_of(project: str, runtime: str, settings: Settings) -> Declaration:
    """Return what a project without `.flox` declares: its name, and that a runtime's tool gives the toolchain."""
    return Declaration(
        project=project,
        name=os.path.basename(project) or "root",
        manifest=Manifest(schema=PLUGINS_SINCE),
        esker=EskerTable(runtime=cast("ToolName", runtime)),  # one that the registry has a tool for
        state=place(project, runtime, settings),
    )


def declared_file(project: str, runtime: str) -> str:
    """Return the name of the file in a project that declares it for a runtime, the first of those that are there."""
    names = registry.RUNTIMES[runtime].declarations
    return next((name for name in names if os.path.exists(f"{project}/{name}")), names[0])


def prepare_stale(
    project: str,
    runtime: str,
    settings: Settings,
    *,
    mode: str | None = None,
    progress: Progress | None = None,
    look: bool = False,
) -> Plan:
    """Ask the tool for its environment, or take what is kept; write the plan for the next activation, and return it.

    With `look`, nothing is asked and nothing is written.
    """
    plans.check_path(project)
    declaration = declaration_of(project, runtime, settings)
    if look:
        return _planned(declaration, settings, mode, Silent(), look=True)[0]
    _forget_removed(declaration)
    with alone(declaration):
        if not settings.tool_refresh:
            plan = plans.warm(project, settings.choices, mode, settings.caller, declaration.state)
            if plan is not None:  # another process has made it while we waited
                return plan
        with reporting(progress) as listener:
            plan, lasts = _planned(declaration, settings, mode, listener)
        if lasts:
            plans.write(plan, plans.plan_path(project, plan.mode, declaration.state))
        return plan


def toolchain_of(declaration: Declaration, settings: Settings, progress: Progress, *, look: bool = False) -> Result:
    """Return what the tool gives a project without `.flox`; raises NotTrusted, and what `result` raises.

    With `look`, the tool is not asked.
    """
    project, runtime = declaration.project, declaration.esker.runtime
    declared = declared_file(project, runtime)
    trust.check(project, settings, declared)
    return result(
        declaration,
        runtime,
        settings,
        progress,
        look=look,
        check=lambda paths: trust.check_files(project, settings, declared, paths),
    )


def _planned(
    declaration: Declaration, settings: Settings, mode: str | None, progress: Progress, *, look: bool = False
) -> tuple[Plan, bool]:
    """Return the plan, and whether a later activation may take it."""
    project, runtime = declaration.project, declaration.esker.runtime
    declared = declared_file(project, runtime)
    others = (name for name in registry.RUNTIMES[runtime].declarations if name != declared)
    stats = plans.fingerprints(f"{project}/{name}" for name in (declared, *others))  # the first is what is trusted
    found = toolchain_of(declaration, settings, progress, look=look)
    exports = compose_exports(declaration, settings)
    plan = plans.Plan(
        project=project,
        name=declaration.name,
        mode=mode or _MODE,
        default=mode in {None, _MODE},
        system=settings.system,
        flox_env=f"{declaration.dot_flox}/run/{settings.system}.{declaration.name}",
        store_path="",
        state=declaration.state,
        runtime_name=directory_name(declaration.dot_flox),
        stats=(*stats, *found.stats, *exports.stats),
        choices=settings.choices,
        compose=exports.variables,
        inputs=(*found.inputs, *exports.inputs),
        **found.fields(),
    )
    return plans.completed(plan), found.is_kept


def _forget_removed(declaration: Declaration) -> None:
    """Remove what is kept of projects that are gone, so that their tools may collect what they had made for them."""
    directory = os.path.dirname(declaration.dot_flox)
    with suppress(OSError):
        for name in os.listdir(directory):
            state = f"{directory}/{name}"
            made = (plans.read(plans.plan_path("", mode, state)) for mode in plans.MODES)
            projects = [plan.project for plan in made if plan is not None]
            if projects and not any(map(os.path.isdir, projects)):
                trees.remove_tree(state)


@contextmanager
def alone(declaration: Declaration) -> Iterator[None]:
    """Let one process at a time prepare a project; the others wait, and take what it has made."""
    assert declaration.state is not None
    with files.refused("make", declaration.state):
        files.make_directory(declaration.state)
    path = f"{declaration.state}/cache/esker/prepare.lock"
    with (
        project_directory.writable(declaration.state, "cache", "esker") as directory,
        files.locked(path, directory=directory),
    ):
        yield
