"""Who brings what in a profile: the package of each program, and the files of each package.

A profile's record names the store paths that it links to. Each of them says itself whose files it has: a wheel by the
RECORD in its `.dist-info`, the prefix of the conda packages by `conda-meta/NAME-VERSION-BUILD.json`.
"""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from esker.errors import RealisationFailed
from esker.formats.untrusted import json_value
from esker.host import files
from esker.realise import records
from esker.realise.conda.plan import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.store.store import Store

__all__ = ["Brought", "Origin", "Owner", "brought", "owner"]

Origin = Literal["conda", "pypi", "project", "interpreter", "esker"]


class Brought(NamedTuple):
    """A package of a profile, with its files."""

    name: str
    """Normalised."""
    version: str
    origin: Origin
    prefix: str
    """The store path that holds it."""
    files: tuple[str, ...]
    """The files that it says are its own, relative to the prefix, sorted."""


class Owner(NamedTuple):
    """Whose a program is."""

    origin: Origin
    name: str | None
    """The package's name; None if no package brings it."""
    version: str | None
    path: str
    """The real path of the program."""


def brought(store: Store, profile: str, project: str | None = None) -> list[Brought]:
    """Return the packages of the profile at a store path, sorted by name; `project` is the project's own name.

    Raises RealisationFailed if the list of a conda package's files is damaged.
    """
    found = [package for path in store.record(profile).references for package in _packages(path, project)]
    return sorted(found, key=lambda package: (package.name, package.origin))


def owner(store: Store, profile: str, program: str, project: str | None = None) -> Owner | None:
    """Return whose the program of this name in a profile is; None if its bin has no such program."""
    link = f"{profile}/bin/{program}"
    if "/" in program or not os.path.isfile(link):
        return None
    path = os.path.realpath(link)
    packages = brought(store, profile, project)
    if path.startswith(f"{profile}/"):
        # Scripts of Python packages, and programs that look for their neighbours, are copied to the same place here.
        copied = path[len(profile) + 1 :]
        claimants = [each for each in packages if each.origin != "conda" and copied in each.files]
    else:
        there = [each for each in packages if path.startswith(f"{each.prefix}/")]
        claimants = [each for each in there if path[len(each.prefix) + 1 :] in each.files]
        if not claimants and len(there) == 1:  # a wheel need not list its program, and has its store path to itself
            claimants = there
    if claimants:
        return Owner(claimants[-1].origin, claimants[-1].name, claimants[-1].version, path)
    return Owner("esker" if path.startswith(f"{store.directory}/") else "interpreter", None, None, path)


def _packages(path: str, project: str | None) -> Iterator[Brought]:
    """Yield the packages that a store path holds."""
    for file in sorted(glob.glob(f"{glob.escape(path)}/{METADATA}/*.json")):
        yield _conda_package(file, path)
    if os.path.isdir(f"{path}/{METADATA}"):  # its Python's packages are conda's, too
        return
    for libraries in sorted(glob.glob(f"{glob.escape(path)}/lib/python*/site-packages")):
        for name, infos in records.infos(libraries).items():
            for info in infos:
                version = os.path.basename(info).removesuffix(records.INFO).rpartition("-")[2]
                origin: Origin = "project" if name == project else "pypi"
                yield Brought(name, version, origin, path, tuple(sorted(records.recorded(info, path))))


def _conda_package(file: str, prefix: str) -> Brought:
    try:
        value: Any = json_value(files.read(file, error=RealisationFailed))
        name, version, paths = value["name"], value["version"], list(value["files"])
    except (ValueError, KeyError, TypeError):
        name, version, paths = None, None, []
    if not all(isinstance(text, str) for text in (name, version, *paths)):
        raise RealisationFailed(
            f"`{file}`, the list of a conda package's files, is damaged",
            hint="delete what is damaged, and make it again: esker store verify --repair; esker activate -- true",
        )
    return Brought(name, version, "conda", prefix, tuple(sorted(paths)))
