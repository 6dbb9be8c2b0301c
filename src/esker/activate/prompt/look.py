"""What the prompt may do with one project: enter it, keep it as it is, or leave it; and what to tell the user.

Two things must hold before the prompt activates a project: nobody but friends can change it (`declare.trust`), and the
user has allowed its content (`declare.consent`). Then it takes the plan that an explicit activation has left, if the
plan has the user's seal and was made from just this content. It neither locks nor fetches anything.
"""

from __future__ import annotations

import os

from esker.activate import plan as plans
from esker.activate.prompt.watched import files_of
from esker.activate.seal import is_sealed
from esker.declare import consent, trust
from esker.errors import EskerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from esker.activate.plan import Plan
    from esker.settings import Settings
else:
    from esker.host.named_tuple import NamedTuple

__all__ = ["Look", "look", "projects"]


_PREPARE = "esker activate"
_PROBLEMS = {
    "changed": "has changed since you allowed it",
    "unknown": "has an environment, which the prompt does not activate yet",
}


class Look(NamedTuple):
    """What was found in a project."""

    project: str
    """Absolute, links resolved."""
    watched: list[str]
    plan: Plan | None = None
    """The plan that may be entered."""
    leaves: bool = False
    """Whether the environment must not stay active."""
    problem: str | None = None
    remedy: str = ""
    """What is the matter, and what to do; in one line."""
    token: str = ""
    """Changes when there is something else to tell."""

    @property
    def line(self) -> str:
        """What to tell the user."""
        return f"{self.problem}: {self.remedy}" if self.remedy else str(self.problem)

    @property
    def dot_flox(self) -> str:
        """The path of `.flox`."""
        return f"{self.project}/.flox"


def projects(directories: list[str]) -> list[str]:
    """Return those directories that have an environment."""
    return [directory for directory in directories if os.path.isdir(f"{directory}/.flox")]


def look(project: str, settings: Settings) -> Look:
    """Return what the prompt may do with a project."""
    watched = files_of(project, settings, (), None)
    try:
        trust.check(project, settings)
        content = consent.content(project)
    except EskerError as error:
        return Look(project, watched, leaves=True, problem=error.message, remedy=error.hint or "", token=error.message)
    watched = files_of(project, settings, content.names, None)
    standing = consent.standing(project, content, settings)
    if standing == "denied":
        return Look(project, watched, leaves=True)
    if standing != "allowed":
        return _waits(project, watched, _PROBLEMS[standing], "esker allow", standing + content.whole)
    plan = plans.warm(project, settings.choices)
    if plan is None:
        return _waits(project, watched, "has to be locked or installed", _PREPARE, f"stale{content.whole}")
    key = consent.seal_key(settings)
    if key is None or not is_sealed(plan, key) or plan.made_from != content.made_from:
        problem = "was prepared by somebody else, or for another user"
        return _waits(project, watched, problem, "esker allow", f"seal{content.whole}")
    return Look(project, files_of(project, settings, content.names, plan), plan)


def _waits(project: str, watched: list[str], problem: str, command: str, token: str) -> Look:
    from shlex import quote

    where = "" if project == os.getcwd() else quote(project)
    if command == _PREPARE:  # with a program: in a project that is active, no second shell is opened
        remedy = f"{command} -d {where} -- true" if where else f"{command} -- true"
    else:
        remedy = f"{command} {where}" if where else command
    return Look(project, watched, problem=f"`{project}` {problem}", remedy=remedy, token=token)
