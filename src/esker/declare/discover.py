"""Which environment a directory belongs to.

Every activation runs this module, so at its top it imports only `os`. Started in a project directory, it makes two
system calls.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.errors import NoEnvironment

__all__ = ["OTHER_DECLARATIONS", "find", "find_marked", "is_project", "no_environment", "resolved"]

_FLOX = (".flox/",)
OTHER_DECLARATIONS = ("flake.nix", "shell.nix", "manifest.scm", "pyproject.toml", "setup.py", "requirements.txt")
"""What declares a project for another tool; where a directory has several, the first of them counts."""


def find(start: str, *, explicit: bool) -> str:
    """Return the project directory that `start` belongs to, as `find_marked` does with the marker `.flox/`."""
    return find_marked(start, _FLOX, explicit=explicit)[0]


def is_project(directory: str) -> bool:
    """Return whether a directory declares an environment, by whichever file."""
    return _marker(directory, (*_FLOX, *OTHER_DECLARATIONS)) is not None


def find_marked(start: str, *groups: Sequence[str], explicit: bool) -> tuple[str, str]:
    """Return the project directory that `start` belongs to, absolute and with links resolved, and its marker.

    A project directory contains one of the markers of a group; if it contains several, the first of them is returned. A
    marker that ends in `/` must be a directory. If the user named the directory (`explicit`), only `start` itself is
    looked at. Otherwise the nearest project directory is looked for upwards, to the top level of the repository;
    outside a repository only `start` is looked at. A later group counts only where no directory has any of the earlier
    ones. Raises NotFound, and UsageError as `resolved` does.
    """
    start = resolved(start)
    for markers in groups:
        marker = _marker(start, markers)
        if marker is not None:
            return start, marker
        above = None if explicit else _above(start, markers)
        if above is not None:
            return above
    raise _not_found(start, [marker for markers in groups for marker in markers], explicit=explicit)


def resolved(path: str) -> str:
    """Return a path, absolute and with links resolved.

    Raises UsageError if it is empty, and NotFound if it is relative and the current directory has been deleted.
    """
    if not path:
        from esker.errors import UsageError

        raise UsageError("the path of the project is empty", hint="name a directory, such as `.` for the current one")
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
    """Return the nearest project directory above `directory` and its marker, if both are in one repository."""
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


def _not_found(start: str, markers: Sequence[str], *, explicit: bool) -> Exception:
    from esker.errors import NoEnvironment

    if not explicit:
        message = "Did not find an environment in the current directory."
        hint = "create one: esker init"
        above, is_in_repository = start, os.path.lexists(f"{start}/.git")
        while (parent := os.path.dirname(above)) != above:
            above = parent
            if _marker(above, markers) is not None:
                where = (
                    "lies outside this repository" if is_in_repository else "is above, and this is no git repository"
                )
                hint += f"; or name the one in `{above}`, which {where}: -d {above}"
                break
            is_in_repository = is_in_repository or os.path.lexists(f"{above}/.git")
        return NoEnvironment(message, hint=hint)
    if not os.path.isdir(start):
        return NoEnvironment(f"there is no directory `{start}`", hint="correct the path", directory=start)
    return no_environment(start)


def no_environment(directory: str) -> NoEnvironment:
    """Return the error for a directory that has no `.flox`; its hint says what makes one, or where one is.

    The directory may be declared for another tool: then the command needs the manifest, which is missing.
    """
    import shlex

    from esker.errors import NoEnvironment

    message = f"Did not find an environment in `{directory}`"
    hint = f"create one: esker init -d {shlex.quote(directory)}"
    above, name = os.path.split(directory)
    if name == ".flox" and os.path.exists(f"{directory}/env.json"):
        hint = f"name the directory that it lies in: -d {shlex.quote(above)}"
    elif (declaration := _marker(directory, OTHER_DECLARATIONS)) is not None:
        message = f"`{directory}` has no manifest, which this command needs: its environment is that of `{declaration}`"
        hint = f"make a manifest: esker init -d {shlex.quote(directory)}"
    return NoEnvironment(message, hint=hint, directory=directory)
