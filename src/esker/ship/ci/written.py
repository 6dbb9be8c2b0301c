"""The files of workflows in a repository: written with what people have added, or compared."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import project_directory
from esker.errors import HostError, NotEditable
from esker.host import files
from esker.ship.ci import choices, marked, yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.ship.ci.choices import Choices

__all__ = ["Difference", "check", "is_added", "remembered", "write"]

_QUOTES = '"'
_DIRECTORY = re.compile(r"^ +(?:ESKER_CI_DIRECTORY|directory|working-directory): (.*)$", re.MULTILINE)


class Difference(NamedTuple):
    """A file that is not what the declaration says."""

    path: str
    """Below the top of the repository."""
    old: str | None
    """None if there is no such file."""
    new: str
    needs_force: bool
    """Whether `write` refuses to write it, because a change would be lost."""
    places: str
    """The file in which people can add something: this one, or one beside it."""


def remembered(top: str, path: str, directory: str) -> Choices:
    """Return the choices that the file at a path below `top` remembers for the project in a directory.

    There are none if Esker has not written it, or for another project.
    """
    text = _read(f"{top}/{path}")
    if text is None or not marked.is_ours(text):
        return choices.Choices()
    if _directory(marked.parts(text, path).frame).replace("${{ '${{' }}", "${{") != yaml.scalar(directory):
        return choices.Choices()
    return choices.recorded(text, path)


def is_added(top: str, path: str, word: str) -> bool:
    """Return whether a person has written a word in a place of the file at a path below `top`."""
    text = _read(f"{top}/{path}")
    return text is not None and any(
        word in line for lines in marked.parts(text, path).additions.values() for line in lines
    )


def write(top: str, texts: Mapping[str, str], *, force: bool) -> list[str]:
    """Write files, by their paths below `top`, and return the paths of those that have changed.

    Nothing is written if one of them would lose something; `marked.rewritten` says when, and what `force` means.
    """
    changed = {}
    for path, new in texts.items():
        old = _read(f"{top}/{path}")
        if old is not None and not force:
            _check_project(top, new, old, path)
        text = new if old is None else marked.rewritten(new, old, path, force=force, places=_places(texts))
        if text != old:
            changed[path] = text
    for path, text in changed.items():
        *names, _ = path.split("/")
        with project_directory.writable(top, *names, mode=0o755) as directory:
            files.write(f"{top}/{path}", text.encode(), mode=0o644, directory=directory)
    return list(changed)


def check(top: str, texts: Mapping[str, str]) -> list[Difference]:
    """Return the files that are not what `write` would write; raises NotEditable if one is another project's."""
    differences = []
    for path, new in texts.items():
        old = _read(f"{top}/{path}")
        if old is not None:
            _check_project(top, new, old, path)
        text = new if old is None else marked.rewritten(new, old, path, force=True)
        if text != old:
            places = path if marked.has_places(new) else _places(texts)
            differences.append(Difference(path, old, text, _has_changed(old), places))
    return differences


def _has_changed(old: str | None) -> bool:
    return old is not None and not marked.is_as_written(old)


def _places(texts: Mapping[str, str]) -> str:
    """Return the path of the first file that has places for additions; empty if none has."""
    return next((path for path, text in texts.items() if marked.has_places(text)), "")


def _check_project(top: str, new: str, old: str, path: str) -> None:
    """Raise NotEditable if the old file, of Esker's, is for another project of the repository."""
    if not marked.is_ours(old):
        return
    theirs, ours = (_directory(marked.parts(text, path).frame) for text in (old, new))
    if theirs != ours and not os.path.isdir(f"{top}/{theirs.strip(_QUOTES)}"):
        raise NotEditable(
            f"`{path}` is for a project in the directory {theirs}, which is gone",
            hint="if that is this project under another name, write the file again for it, with the options that it "
            "was written with: --force",
        )
    if theirs != ours:
        raise NotEditable(
            f"`{path}` is for another project of this repository, in the directory {theirs}",
            hint=f"add a job for {ours} in a place of the file; or write over it: --force",
        )


def _directory(frame: str) -> str:
    """Return the project directory in a file, as it is written there."""
    match = _DIRECTORY.search(frame)
    return match[1] if match else yaml.scalar(".")


def _read(path: str) -> str | None:
    if not os.path.lexists(path):
        return None
    try:
        return files.read(path).decode()
    except UnicodeDecodeError as error:
        raise HostError(f"`{path}` is not text: {error.reason}", hint="move it away") from error
