"""Who may prepare a project: one process at a time, and root only on behalf of the project's owner."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.declare import project_directory
from esker.errors import HostError
from esker.host import files
from esker.host.isolation import own_words

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["alone", "hand_over"]

_COMMAND = "command"
"""A file beside the lock with the words of the Esker that has prepared the project last.

The pytest plugin reads it where ESKER_COMMAND is not set, and believes it only if others can neither write nor read it.
"""
_OPEN_TO_OTHERS = 0o077


@contextmanager
def alone(project: str) -> Iterator[None]:
    """Let one process at a time prepare a project; the others wait, and take what it has made."""
    path, remedy = f"{project}/.flox/cache/esker/prepare.lock", _remedy(project)
    with (
        project_directory.writable(f"{project}/.flox", "cache", "esker", remedy=remedy) as directory,
        files.locked(path, directory=directory, remedy=remedy),
    ):
        _leave_command(f"{project}/.flox/cache/esker/{_COMMAND}", directory)
        yield


def _leave_command(path: str, directory: int) -> None:
    """Write down how this Esker is called, unless a file of ours says so already; everything works without it too."""
    content = os.fsencode(f"{own_words()}\n")
    with suppress(OSError):
        descriptor = os.open(_COMMAND, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            is_private = status.st_uid == os.geteuid() and not status.st_mode & _OPEN_TO_OTHERS
            if is_private and file.read(len(content) + 1) == content:
                return
    with suppress(HostError):
        files.write(path, content, directory=directory)


def _remedy(project: str) -> str | None:
    """Return what to do where another user has made files that this one may not write; None where none has."""
    uid, dot_flox = os.geteuid(), f"{project}/.flox"
    places = (f"{dot_flox}{name}" for name in ("", "/cache", "/cache/esker", "/cache/esker/prepare.lock"))
    if all(os.lstat(place).st_uid == uid for place in places if os.path.lexists(place)):
        return None
    return f"work in a clone of your own, or have root give this one to you: chown -R {uid} {project}"


def hand_over(dot_flox: str) -> None:
    """Give the files that root has made in another user's project to that user, who could not write them otherwise.

    A file goes to the owner of its directory, which behind a link may be another one. A link itself is left alone: what
    it leads to may lie outside of the project.
    """
    owner = os.stat(dot_flox)
    if os.geteuid() or not owner.st_uid:
        return
    made = ("cache/esker/prepare.lock", f"cache/esker/{_COMMAND}", "cache/esker/ports.json")
    for path in (*made, "env/manifest.lock", "pylock.toml"):
        *above, name = path.split("/")
        with suppress(OSError), project_directory.opened(dot_flox, *above) as directory:
            project_directory.give_file(name, directory)
