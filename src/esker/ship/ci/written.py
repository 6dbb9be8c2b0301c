"""The files of workflows in a repository: written with what people have added, or compared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import project_directory
from esker.errors import HostError
from esker.host import files
from esker.ship.ci import choices, marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.ship.ci.choices import Choices

__all__ = ["Difference", "check", "remembered", "write"]


class Difference(NamedTuple):
    """A file that is not what the declaration says."""

    path: str
    """Below the top of the repository."""
    old: str | None
    """None if there is no such file."""
    new: str
    needs_force: bool
    """Whether `write` refuses to write it, because a change would be lost."""


def remembered(top: str, path: str) -> Choices:
    """Return the choices that the file at a path below `top` remembers; none if Esker has not written it."""
    text = _read(f"{top}/{path}")
    if text is None or not marked.is_ours(text):
        return choices.Choices()
    return choices.recorded(text, path)


def write(top: str, texts: Mapping[str, str], *, force: bool) -> list[str]:
    """Write files, by their paths below `top`, and return the paths of those that have changed.

    Nothing is written if one of them would lose something; `marked.rewritten` says when, and what `force` means.
    """
    changed = {}
    for path, new in texts.items():
        old = _read(f"{top}/{path}")
        text = new if old is None else marked.rewritten(new, old, path, force=force)
        if text != old:
            changed[path] = text
    for path, text in changed.items():
        *names, _ = path.split("/")
        with project_directory.writable(top, *names, mode=0o755) as directory:
            files.write(f"{top}/{path}", text.encode(), mode=0o644, directory=directory)
    return list(changed)


def check(top: str, texts: Mapping[str, str]) -> list[Difference]:
    """Return the files that are not what `write` would write."""
    differences = []
    for path, new in texts.items():
        old = _read(f"{top}/{path}")
        text = new if old is None else marked.rewritten(new, old, path, force=True)
        if text != old:
            differences.append(Difference(path, old, text, old is not None and not marked.is_as_written(old)))
    return differences


def _read(path: str) -> str | None:
    if not os.path.lexists(path):
        return None
    try:
        return files.read(path).decode()
    except UnicodeDecodeError as error:
        raise HostError(f"`{path}` is not text: {error.reason}", hint="move it away") from error
