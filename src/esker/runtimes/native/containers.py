"""The files of services in containers that one word adds: the Compose file, and passwords that stand nowhere else."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import project_directory
from esker.declare.compose_names import BASES
from esker.declare.git_ignore import ignore
from esker.declare.presets.containers import compose_file, container_lines, secret_texts, with_container
from esker.errors import HostError, InvalidFile, NotEditable, Problem
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from esker.declare.presets.catalogue import Preset

__all__ = ["ComposeFile", "missing_secrets", "written_secrets"]

_PLACE = (".flox", "cache", "esker")
"""Where passwords are: a directory of Esker's own, which is neither in git nor among the data of services."""
_LARGEST = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ComposeFile(NamedTuple):
    """A project's Compose file, and what it is to say."""

    project: str
    path: str
    """Relative to the project."""
    before: str
    """What it says; empty if there is none."""
    text: str

    @classmethod
    def of(cls, project: str, manifest: str) -> ComposeFile:
        """Return the file that a manifest names, else the one that Compose would find, else a new one.

        Raises HostError if it cannot be read, InvalidFile if it is no text, and NotEditable if it is a link.
        """
        there = (name for name in BASES if os.path.lexists(f"{project}/{name}"))
        path = compose_file(manifest) or next(there, BASES[0])
        text = _text(project, path)
        return cls(project, path, text, text)

    def with_preset(self, preset: Preset) -> ComposeFile:
        """Return the file with the service of a preset."""
        above = os.path.dirname(self.path) or "."
        secrets, project = (os.path.relpath(each, above) for each in ("/".join(_PLACE), "."))
        added = container_lines(preset, secrets=secrets, project=project)
        return self._replace(text=with_container(self.text, added, f"{self.project}/{self.path}"))

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Write the file, and put it in its place after the block, unless the block fails."""
        place = f"{self.project}/{self.path}"
        with files.refused("write", place), _opened(self.project, self.path) as directory:
            if _text(self.project, self.path) != self.before:
                raise HostError(f"`{place}` was changed by somebody else at the same time", hint="do it again")
            name, owner = os.path.basename(place), os.fstat(directory)
            like = os.stat(name, dir_fd=directory, follow_symlinks=False) if self.before else None
            with files.staged(place, self.text.encode(), mode=0o644, directory=directory, like=like):
                yield
            if like is None:
                project_directory.give_file(name, directory, owner)


def _opened(project: str, path: str) -> AbstractContextManager[int]:
    return project_directory.opened_project(os.path.dirname(f"{project}/{path}"))


def _text(project: str, path: str) -> str:
    place = f"{project}/{path}"
    with files.refused("read", place), _opened(project, path) as directory:
        name = os.path.basename(path)
        try:
            mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return ""
        if stat.S_ISLNK(mode):
            raise NotEditable(f"`{place}` is a link", hint="put the file itself there, or add the service yourself")
        if not stat.S_ISREG(mode):
            raise HostError(f"cannot read `{place}`: it is not a regular file", hint="put a plain file there")
        with open(os.open(name, _READ, dir_fd=directory), "rb") as file:
            content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise HostError(f"cannot read `{place}`: it has more than 1 MiB", hint="add the service yourself")
    return files.decoded(content, place, InvalidFile)


def missing_secrets(project: str, preset: Preset) -> list[str]:
    """Return the names of a preset's files with its password that this checkout does not have."""
    return [name for name in preset.secrets if not os.path.lexists("/".join((project, *_PLACE, name)))]


@contextmanager
def written_secrets(project: str, presets: Iterable[Preset]) -> Iterator[Sequence[str]]:
    """Write the passwords that are missing, readable for their owner alone, and yield the paths of the files.

    A password that is there stays, because a volume may have been made with it. If the block fails, what was written is
    removed again.
    """
    written: list[str] = []
    above = "/".join((project, *_PLACE))
    with project_directory.writable(f"{project}/.flox", *_PLACE[1:]) as directory:
        try:
            for preset in presets:
                for name, text in _secrets(project, preset, directory).items():
                    files.write(f"{above}/{name}", text.encode(), mode=0o600, directory=directory)
                    written.append(name)
                    project_directory.give_file(name, directory, os.stat(f"{project}/.flox"))
            if written:
                _ignore_cache(project)
            yield [f"{above}/{name}" for name in written]
        except BaseException:
            for name in written:
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)
            raise


def _secrets(project: str, preset: Preset, directory: int) -> dict[str, str]:
    """Return the missing files of a preset, with the password that its first file has, or else a new one."""
    from secrets import token_urlsafe

    missing = missing_secrets(project, preset)
    if not missing:
        return {}
    first, password = next(iter(preset.secrets)), token_urlsafe(24)
    if first not in missing:
        place = "/".join((project, *_PLACE, first))
        with files.refused("read", place), open(os.open(first, _READ, dir_fd=directory), encoding="utf-8") as file:
            password = file.readline().partition("=")[2].strip()
        if not password:
            hint = "write `NAME=password` into its first line, or remove it together with the container's volume"
            raise InvalidFile(place, [Problem("there is no password in the first line", line=1, hint=hint)])
    return {name: text for name, text in secret_texts(preset, password).items() if name in missing}


def _ignore_cache(project: str) -> None:
    """Keep `.flox/cache` out of git, as the .gitignore of every new environment does."""
    path = f"{project}/.flox/.gitignore"
    with suppress(OSError), open(path, encoding="utf-8", errors="replace", opener=files.plain) as file:
        if {"cache", "cache/", "/cache", "/cache/"} & {line.strip() for line in file}:
            return
    with files.refused("write", f"{project}/.gitignore"):
        ignore(project, ".flox/cache/")
