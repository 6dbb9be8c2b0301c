"""Reads the files of a project from which a new environment takes something.

The project may belong to somebody else, and root may be the one who reads: so no file outside the project is read,
whatever links lead there, and nothing that is not a plain file of a sensible size.
"""

from __future__ import annotations

import codecs
import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

from esker.declare import project_directory
from esker.declare.adopt.conda_environment import conda_environment
from esker.declare.adopt.found import Found, Unreadable, limited
from esker.declare.adopt.mise import mise
from esker.declare.adopt.package_json import package_json
from esker.declare.adopt.pixi import pixi
from esker.declare.adopt.procfile import procfile
from esker.declare.adopt.pyproject import pyproject
from esker.declare.adopt.requirements_file import requirements
from esker.declare.adopt.version_files import nvmrc, python_version, ruby_version, tool_versions
from esker.formats.untrusted import LARGEST_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from esker.declare.adopt.found import Read

__all__ = ["READERS", "found_in"]


def _told(reason: str) -> Callable[[str, str, Read], Found]:
    """Return what reads nothing of a file, and tells why."""

    def reader(_text: str, file: str, _: Read) -> Found:
        return Found(file, left_out=(f"{file} is left out: {reason}",))

    return reader


READERS: Mapping[str, Callable[[str, str, Read], Found]] = {
    "pyproject.toml": pyproject,
    "pixi.toml": pixi,
    "environment.yml": conda_environment,
    "environment.yaml": conda_environment,
    "requirements.txt": requirements,
    ".python-version": python_version,
    ".nvmrc": nvmrc,
    ".node-version": nvmrc,
    ".ruby-version": ruby_version,
    "mise.toml": mise,
    ".mise.toml": mise,
    ".tool-versions": tool_versions,
    "package.json": package_json,
    "Procfile": procfile,
    "Pipfile": _told("Esker does not read it: name its packages by `esker install pypi/NAME`"),
    "devbox.json": _told("Esker does not read it: name its packages by `esker install conda/NAME`"),
    "devenv.nix": _told("it is a program of Nix: write its variables, processes and scripts into the manifest"),
    ".envrc": _told("it is a program for direnv: write its variables into [vars], and other code into [hook]"),
}
"""The files, in their order of precedence, each with what reads it."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def found_in(directory: str) -> tuple[Found, ...]:
    """Return what the files of a directory declare, in their order of precedence; a missing directory has none."""
    project = os.path.realpath(directory)
    if not os.path.isdir(project):
        return ()

    def read(path: str) -> str:
        return _text(project, path)

    founds = []
    for file, reader in READERS.items():
        if os.path.lexists(f"{project}/{file}"):
            try:
                founds.append(limited(reader(read(file), file, read)))
            except Unreadable as error:
                founds.append(Found(file, left_out=(f"{file} is left out: {error}",)))
    return tuple(founds)


def _text(project: str, path: str) -> str:
    """Return the text of a file of the project; raises Unreadable."""
    try:
        content = _content(project, path)
    except (OSError, ValueError) as error:  # ValueError: the name has a null byte
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unreadable(reason.lower()) from error
    if len(content) > LARGEST_MANIFEST:
        raise Unreadable(f"it has more than {LARGEST_MANIFEST >> 10} KiB")
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8") from error


def _content(project: str, path: str) -> bytes:
    """Return the first bytes of a file, one more than are allowed.

    A link may lead to another place in the project. Its way is resolved first, and then no link is followed any more.
    """
    real = os.path.realpath(f"{project}/{path}")
    if not real.startswith(f"{project.rstrip('/')}/"):
        raise Unreadable("it lies outside the project")
    *above, name = os.path.relpath(real, project).split("/")
    with ExitStack() as stack:
        directory = stack.enter_context(project_directory.opened_project(project))
        for part in above:
            directory = stack.enter_context(project_directory.opened_within(directory, part))
        descriptor = os.open(name, _FLAGS, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unreadable("it is not a plain file")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(LARGEST_MANIFEST + 1)
        finally:
            os.close(descriptor)
