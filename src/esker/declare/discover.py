"""Which environment a directory belongs to.

On the path of every activation: only `os` is imported, and a project directory itself costs two calls of the system.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["find", "find_marked", "resolved"]

_FLOX = (".flox/",)


def find(start: str, *, explicit: bool) -> str:
    """Return the project directory with a `.flox` that is meant from `start`, as `find_marked` does."""
    return find_marked(start, _FLOX, explicit=explicit)[0]


def find_marked(start: str, markers: Sequence[str], *, explicit: bool) -> tuple[str, str]:
    """Return the project directory, absolute and with links resolved, that is meant from `start`, and its marker.

    A project directory has one of the `markers`, of which the first counts; one that ends in `/` has to be a directory.
    A directory that was named (`explicit`) is meant itself. Otherwise, within a repository, the nearest project
    directory upwards to its top level is meant; outside a repository only `start`. Raises NotFound, and UsageError as
    `resolved` does.
    """
    start = resolved(start)
    marker = _marker(start, markers)
    if marker is not None:
        return start, marker
    above = None if explicit else _above(start, markers)
    if above is None:
        raise _not_found(start, explicit=explicit)
    return above


def resolved(path: str) -> str:
    """Return a path absolute and with links resolved.

    Raises UsageError for an empty one, which nobody can mean, and NotFound where it begins at a directory that is gone.
    """
    if not path:
        from esker.errors import UsageError

        raise UsageError("the path of the project is empty", hint="name a directory, as `.` for this one")
    try:
        return os.path.realpath(path)
    except FileNotFoundError:
        from esker.errors import NotFound

        raise NotFound("the current directory does not exist any more", hint="go elsewhere: cd") from None


def _marker(directory: str, markers: Sequence[str]) -> str | None:
    for marker in markers:
        path = f"{directory}/{marker}"
        if os.path.isdir(path[:-1]) if marker.endswith("/") else os.path.exists(path):
            return marker
    return None


def _above(directory: str, markers: Sequence[str]) -> tuple[str, str] | None:
    """Return the nearest project directory and its marker, if a repository's top level stands there or above it."""
    nearest = None
    while not os.path.lexists(f"{directory}/.git"):
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent
        marker = None if nearest else _marker(directory, markers)
        if marker is not None:
            nearest = directory, marker
    return nearest


def _not_found(start: str, *, explicit: bool) -> Exception:
    from esker.errors import NoEnvironment

    if not explicit:
        message = "Did not find an environment in the current directory."
        hint = "create one: esker init"
        above = start
        while (parent := os.path.dirname(above)) != above:
            above = parent
            if os.path.isdir(f"{above}/.flox"):
                hint += f"; or take that of `{above}`, which outside its repository has to be named: -d {above}"
                break
        return NoEnvironment(message, hint=hint)
    if not os.path.isdir(start):
        return NoEnvironment(f"there is no directory `{start}`", hint="correct the path", directory=start)
    message = f"Did not find an environment in `{start}`"
    return NoEnvironment(message, hint=f"create one: esker init -d {start}", directory=start)
