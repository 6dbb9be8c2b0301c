"""The files after whose change git may track other files of a project, or say of others that it does not track them.

What git ignores is written in a repository and in a file of the user, which git's configuration may name. That is read
from several files, of which git tells those that say something. Where a person usually writes, a file may also appear.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.errors import CommandFailed
from esker.host.git import run_git
from esker.ship.content.project_files import tracked_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["watched_files"]

_ORIGIN = "file:"
_OF_THE_MACHINE = "/etc/gitconfig"


def watched_files(project: str, paths: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return what decides about the files that git tracks at these paths, and those that it does not.

    That is git's index and configuration, what it ignores, the files themselves, and their directories, in which others
    appear. All paths are absolute; some files may be missing.
    """
    top = os.path.normpath(f"{project}/{_told(project, variables, 'rev-parse', '--show-cdup')}")
    named = [_told(project, variables, "rev-parse", "--git-path", name) for name in ("index", "info/exclude")]
    found = dict.fromkeys(os.path.join(project, each) for each in named)
    for path in (_own_excludes(project, top, variables), *_configurations(project, top, variables)):
        found |= dict.fromkeys((path, os.path.realpath(path)))  # a person may keep such a file elsewhere, and link it
    for path in paths:
        place = os.path.normpath(f"{project}/{path}")
        found |= dict.fromkeys([place, *_ignore_files(place, top)])
        for name in tracked_files(project, path, variables):
            directory = os.path.dirname(os.path.normpath(f"{project}/{name}"))
            if directory not in found:
                found |= dict.fromkeys([directory, *_ignore_files(directory, top)])
            found[f"{project}/{name}"] = None
    return [*found]


def _told(project: str, variables: Mapping[str, str], *words: str) -> str:
    """Return the path that a git command prints."""
    return os.fsdecode(run_git(words, variables, cwd=project).removesuffix(b"\n"))


def _configurations(project: str, top: str, variables: Mapping[str, str]) -> Iterator[str]:
    """Yield the files of git's configuration: those that say something now, and the usual ones, in which more may."""
    listed = run_git(["config", "--list", "--show-origin", "--name-only", "-z"], variables, cwd=project)
    for origin in dict.fromkeys(listed.split(b"\0")[::2]):
        if (told := os.fsdecode(origin)).startswith(_ORIGIN):
            yield os.path.join(top, told.removeprefix(_ORIGIN))
    home = variables.get("HOME", "")
    usual = (f"{home}/.gitconfig", f"{_directory_of_user(variables)}/config")
    yield from (one,) if (one := variables.get("GIT_CONFIG_GLOBAL")) else usual
    yield variables.get("GIT_CONFIG_SYSTEM") or _OF_THE_MACHINE


def _directory_of_user(variables: Mapping[str, str]) -> str:
    return f"{variables.get('XDG_CONFIG_HOME') or variables.get('HOME', '') + '/.config'}/git"


def _own_excludes(project: str, top: str, variables: Mapping[str, str]) -> str:
    """Return the file with what this user has git ignore everywhere; it need not exist."""
    try:
        return os.path.join(top, _told(project, variables, "config", "--type=path", "--get", "core.excludesFile"))
    except CommandFailed:
        return f"{_directory_of_user(variables)}/ignore"


def _ignore_files(directory: str, top: str) -> Iterator[str]:
    """Yield the `.gitignore` of a directory and of those above it in the repository; they need not exist."""
    while f"{directory}/".startswith(f"{top}/"):
        yield f"{directory}/.gitignore"
        directory = os.path.dirname(directory)
