"""Packages that a project takes from a repository, a directory or an archive: before and after they are locked."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from esker.errors import InvalidFile, ResolutionFailed
from esker.formats.syntax import read_toml
from esker.formats.untrusted import LARGEST_MANIFEST
from esker.formats.urls import redact
from esker.host import files
from esker.lock.directory_metadata import directory_sources, metadata_digest, metadata_files
from esker.lock.uv_sources import declared_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from packaging.pylock import Package, Pylock

    from esker.lock.pyproject import Pyproject
    from esker.lock.uv_sources import Source

__all__ = [
    "check_hashes",
    "check_sources",
    "files_of_lock",
    "is_from_source",
    "paths_of_lock",
    "relocated",
]

_PYTHON_PROJECT = ("pyproject.toml", "setup.py")


def is_from_source(package: Package) -> bool:
    """Return whether a locked package comes from a repository, a directory or an archive."""
    return package.vcs is not None or package.directory is not None or package.archive is not None


def files_of_lock(project: Pyproject) -> Iterator[str]:
    """Yield name and hash of what a lock depends on besides the project's pyproject.toml."""
    for name, source in sorted(directory_sources(project.uv.sources).items()):
        yield f"{name} {metadata_digest(source.address)}"


def paths_of_lock(project: Pyproject) -> list[str]:
    """Return the files whose change can make a lock stale, besides the project's pyproject.toml."""
    paths = []
    for source in directory_sources(project.uv.sources).values():
        paths += metadata_files(source.address)
    return list(dict.fromkeys(paths))


def check_sources(sources: Iterable[Source]) -> None:
    """Raise ResolutionFailed for a path at which there is nothing that could be built or installed.

    Raises InvalidFile for a directory whose pyproject.toml cannot be read.
    """
    for source in sources:
        if source.kind != "path":
            continue
        where = f"`{source.name}` is taken from `{source.written or source.address}`"
        if not os.path.exists(source.address):
            hint = "mend the path in [tool.uv.sources] of pyproject.toml, which is relative to that file"
            raise ResolutionFailed(f"{where}, which is not there", hint=hint)
        if os.path.isdir(source.address):
            if not any(os.path.isfile(f"{source.address}/{name}") for name in _PYTHON_PROJECT):
                message = f"{where}, which has neither pyproject.toml nor setup.py"
                hint = 'name the directory of a Python project; modules alone go on the path with source = ["…"]'
                raise ResolutionFailed(message, hint=hint)
            _check_project(source)
        elif source.is_editable:
            raise ResolutionFailed(f"{where}, a file, which cannot be editable", hint="take `editable` out")


def _check_project(source: Source) -> None:
    """Raise InvalidFile for a directory whose pyproject.toml cannot be read, ResolutionFailed for another package."""
    path = f"{source.address}/pyproject.toml"
    if not os.path.isfile(path):
        return
    project = read_toml(files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST), path).get("project")
    name = project.get("name") if isinstance(project, dict) else None
    if isinstance(name, str) and canonicalize_name(name) != source.name:
        raise ResolutionFailed(
            f"the source of `{source.name}` holds another package, `{name}`: {path}",
            hint="mend its name in `dependencies` and in [tool.uv.sources], or its path",
        )


def check_hashes(lock: Pylock, sources: Iterable[Source]) -> None:
    """Raise ResolutionFailed if a file at an address is not the one whose hash was declared."""
    declared = {source.name: source for source in sources if source.kind == "url"}
    for package in lock.packages:
        source = declared.get(package.name)
        expected = declared_hash(source.address) if source else None
        if source is None or expected is None or package.archive is None or package.archive.url is None:
            continue
        kind, value = expected
        present = package.archive.hashes.get(kind)
        if present != value:
            found = f"{kind}={present}" if present else f"no {kind}, which uv does not compute"
            raise ResolutionFailed(
                f"`{redact(source.address.partition('#')[0])}` is not the declared file: it has {found}",
                hint="do not use that file; if its author replaced it on purpose, declare the new hash",
            )


def relocated(lock: Pylock, sources: Iterable[Source], before: str, directory: str) -> Pylock:
    """Return a lock whose paths are relative to `directory`, except for those that were declared as absolute.

    Those of `lock` are absolute, or relative to the directory `before`.
    """
    absolute = {source.address for source in sources if os.path.isabs(source.written)}

    def moved(path: str) -> str:
        place = os.path.normpath(os.path.join(before, path))
        return place if place in absolute else os.path.relpath(place, directory)

    return dataclasses.replace(lock, packages=[_moved(package, moved) for package in lock.packages])


def _moved(package: Package, moved: Callable[[str], str]) -> Package:
    if package.directory is not None:
        place = dataclasses.replace(package.directory, path=moved(package.directory.path))
        return dataclasses.replace(package, directory=place)
    if package.archive is not None and package.archive.path is not None:
        archive = dataclasses.replace(package.archive, path=moved(package.archive.path))
        return dataclasses.replace(package, archive=archive)
    return package
