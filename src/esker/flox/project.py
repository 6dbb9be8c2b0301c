"""Which project a path means to the Flox integration, and whether something may be done with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.declare import discover, trust
from esker.errors import NotFound
from esker.host import variables

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["checked", "find_project"]

_TASKS = ".angreal"


def find_project(path: str | os.PathLike[str] | None, start: str) -> str:
    """Return the directory that `path` means, absolute, with links resolved; it need not have an environment.

    A relative path starts at the directory `start`; the nearest `.flox` from there upwards within the repository
    counts. Angreal's directory of tasks belongs to the directory above it, in a repository or not.
    """
    given = os.path.expanduser(os.fspath(path or "."))
    place = os.path.realpath(os.path.join(start, given))
    if os.path.isabs(given) or not os.path.isdir(place):
        return place
    for directory in (place, os.path.dirname(place)) if os.path.basename(place) == _TASKS else (place,):
        try:
            return discover.find(directory, explicit=False)
        except NotFound:
            continue
    return place


def checked(project: str, names: Sequence[str] = (), *, runs: bool = False) -> Sequence[str]:
    """Return the names when `project` has an environment, and when it `runs` code of it, one that is trusted.

    Raises NotFound and NotTrusted.
    """
    if not os.path.isdir(f"{project}/.flox"):
        raise NotFound(f"Flox environment at {project} does not exist", hint=f"make one: esker init -d {project}")
    if runs:
        trust.check(project, variables.current(), uid=os.geteuid())
    return names
