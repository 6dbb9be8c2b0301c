"""Which project a path means to the Flox integration, and whether there is an environment."""

from __future__ import annotations

import os

from esker.declare import discover
from esker.errors import NotFound
from esker.runtimes.registry import RUNTIMES

__all__ = ["check_exists", "find_flox_project"]

_TASKS = ".angreal"


def find_flox_project(path: str | os.PathLike[str] | None, start: str) -> str:
    """Return the directory that `path` means, absolute, with links resolved; it need not have an environment.

    A relative path starts at the directory `start`; the nearest directory upwards with a `.flox` counts, within the
    repository. For Angreal's directory of tasks (`.angreal`) the directory above it counts too, also outside of one.
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


def check_exists(project: str, runtime: str = "native") -> None:
    """Raise NotFound when `project` has no environment that a runtime can give; most need a `.flox`."""
    try:
        discover.find_marked(project, RUNTIMES[runtime].declarations or RUNTIMES["native"].declarations, explicit=True)
    except NotFound:
        hint = f"make one: esker init -d {project}"
        raise NotFound(f"Flox environment at {project} does not exist", hint=hint) from None
