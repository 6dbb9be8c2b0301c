"""Esker's own runtime: a project is locked, realised and activated, each step only where something has changed.

A warm call reads one small file, the plan, and stats the files that the plan was made from. Everything else is in
`preparation`, which is imported when something has changed. This module is on the path of every activation: it imports
nothing heavy, not even `json`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from esker.activate import plan as plans
from esker.activate.composition import active_tool_choice, is_started, is_without_packages
from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_generation, active_mode
from esker.declare import trust
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.active import Begun
    from esker.activate.plan import Plan
    from esker.declare.declaration import Declaration
    from esker.host.clock import Deadline
    from esker.progress import Progress

__all__ = ["NativeRuntime", "PlannedRuntime", "prepare", "runtime"]


def prepare(
    project: str,
    settings: Settings,
    *,
    mode: str | None = None,
    locked: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Return the plan for activating `project` (absolute, links resolved); it is made anew if something has changed.

    A stale lock is made again; with `locked` it is refused instead (`StaleLock`). `mode` is `dev`, `run`, or None for
    the mode that the manifest asks for. Raises `NotTrusted` for another user's project, and what the stages raise.
    """
    trust.check(project, settings)
    plan = None if settings.tool_refresh else plans.warm(project, settings.choices, mode, settings.caller)
    if plan is not None and not (locked and plan.missing):  # a plan without packages says nothing about the lock
        return plan
    from esker.runtimes.native.preparation import prepare_stale

    return prepare_stale(project, settings, mode=mode, locked=locked, progress=progress)


class PlannedRuntime(ABC):
    """The environment of one project that has a plan; a Runtime, of which a class says how the plan is made."""

    name = "native"

    def __init__(self, project: str, mode: str | None = None) -> None:
        self.project = project
        """The project directory, absolute, with links resolved."""
        self.mode = mode
        """`dev`, `run`, or None for the mode in which the environment is active already, else the manifest's own."""
        self.tool_choice = ""
        self.tool_refresh = False
        self._asked: Plan | None = None

    def ask(self, choice: str, *, refresh: bool) -> None:
        """Let activations ask this of the tool that gives the toolchain: a choice, as `ToolChoice.text` says it."""
        self.tool_choice, self.tool_refresh = choice, refresh

    def declaration(self, settings: Settings) -> Declaration | None:  # noqa: ARG002 - for those without `.flox`
        """Return what a project without `.flox` declares; None if `.flox` says it."""
        return None

    def begin(self, environ: Mapping[str, str], deadline: Deadline | None = None) -> Begun:
        """Begin an activation: return what activating changes in a caller's variables.

        Locks and installs first what is not locked or installed yet. Runs the hook, unless another process has started
        this environment already. The deadline limits the hook.
        """
        from esker.activate.active import begin

        return begin(self._asked_plan(environ), environ, deadline)

    def inherited(
        self, environ: Mapping[str, str], base: Mapping[str, str], deadline: Deadline | None = None
    ) -> Begun | None:
        """Return what the activation that the caller has inherited would change in `base`, a few of its variables.

        An activation of the caller's own would not do: it holds only what the caller still lacks. None means that the
        caller has inherited no activation of this plan. Raises StartWithinHook in a hook of the environment.
        """
        plan = self._asked_plan(environ)
        if not is_started(plan, environ):
            return None
        from esker.activate.active import Begun
        from esker.activate.starts.attachment import Participant, attach, check_outside_hooks

        check_outside_hooks(plan, environ)
        attachment = attach(plan, base, Participant(stays=True), deadline=deadline)
        return Begun(attachment.activation, attachment.leave, attachment.share)

    def _asked_plan(self, environ: Mapping[str, str]) -> Plan:
        """Return the plan; where something was asked of the tool, it is asked only once."""
        if not (self.tool_choice or self.tool_refresh):
            return self._plan(environ)
        if self._asked is None:
            self._asked = self._plan(environ)
        return self._asked

    @abstractmethod
    def _plan(self, environ: Mapping[str, str]) -> Plan:
        """Return the plan for a caller with these variables."""


class NativeRuntime(PlannedRuntime):
    """The environment of one project, given by Esker itself."""

    def __init__(self, project: str, mode: str | None = None, *, without_packages: bool = False) -> None:
        super().__init__(project, mode)
        self.without_packages = without_packages
        """Whether packages of `[install]` that are not on this machine are left out."""

    def _plan(self, environ: Mapping[str, str]) -> Plan:
        # What begins within an activation belongs to it: another mode would clash with it, or give other variables.
        active = environ.get(ACTIVE_ENVIRONMENTS)
        mode = self.mode or active_mode(f"{self.project}/.flox", active)
        without = self.without_packages or is_without_packages(self.project, environ)
        generation = active_generation(f"{self.project}/.flox", active)
        if generation is not None:
            from esker.runtimes.native.earlier import plan_of_generation

            return plan_of_generation(self.project, Settings(environ), generation, mode=mode)
        choice = self.tool_choice or active_tool_choice(f"{self.project}/.flox", environ)
        settings = Settings(environ, without_packages=without, tool_choice=choice, tool_refresh=self.tool_refresh)
        return prepare(self.project, settings, mode=mode)


def runtime(project: str, mode: str | None = None, *, without_packages: bool = False) -> NativeRuntime:
    """Return the native runtime of a project (absolute, links resolved)."""
    return NativeRuntime(project, mode, without_packages=without_packages)
