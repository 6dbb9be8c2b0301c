"""Which environment a directory belongs to.

On the path of every activation: only `os` is imported, and a project directory itself costs two calls of the system.
"""

from __future__ import annotations

import os

__all__ = ["find", "resolved"]


def find(start: str, *, explicit: bool) -> str:
    """Return the project directory, absolute and with links resolved, whose `.flox` is meant from `start`.

    A directory that was named (`explicit`) is meant itself. Otherwise, within a repository, the nearest directory
    upwards to its top level that has a `.flox`; outside a repository only `start`. Raises NotFound, and UsageError as
    `resolved` does.
    """
    start = resolved(start)
    if os.path.isdir(f"{start}/.flox"):
        return start
    found = None if explicit else _above(start)
    if found is None:
        raise _not_found(start, explicit=explicit)
    return found


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


def _above(directory: str) -> str | None:
    """Return the nearest directory with a `.flox`, if a repository's top level stands there or above it."""
    found = None
    while not os.path.lexists(f"{directory}/.git"):
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent
        if found is None and os.path.isdir(f"{directory}/.flox"):
            found = directory
    return found


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
