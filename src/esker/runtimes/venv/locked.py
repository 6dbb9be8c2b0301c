"""Whether uv.lock still has what the projects in directories declare, and whether their requirements can be read.

uv tells that too, but only by resolving anew: it needs a network for that, and finds every lock out of date that was made
with another index. So what `[package.metadata]` of uv.lock has recorded is compared with the pyproject.toml of today.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from esker.errors import ActivationFailed, InvalidFile, InvalidLock, Problem
from esker.formats import uv_lock
from esker.formats.syntax import read_toml
from esker.formats.untrusted import LARGEST_MANIFEST
from esker.host import files
from esker.host.uv import uv_command
from esker.runtimes.venv.requirements import PROJECT_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.formats.uv_lock import LockedPackage, UvLock

__all__ = ["check_lock", "check_requirements", "locked_projects", "pyproject"]

_MOST = 1000
"""Projects in directories that one lock may have."""


def pyproject(path: str) -> dict[str, Any]:
    """Return the tables of a pyproject.toml, none if it is not there; raises InvalidFile for a broken one."""
    return _read(path)[0]


def check_requirements(path: str) -> None:
    """Raise InvalidFile, with their lines, if requirements in a pyproject.toml cannot be read."""
    _requirements(path)


def locked_projects(root: str) -> list[str]:
    """Return the directories of the projects in the uv.lock of `root`, absolute; none if it cannot be read."""
    try:
        return [directory for _, directory in _projects(root, _lock(root))]
    except (InvalidLock, InvalidFile):  # told when it is installed
        return []


def check_lock(root: str) -> None:
    """Raise ActivationFailed if the uv.lock in `root` is older than what one of its projects declares.

    Raises InvalidFile for a pyproject.toml that cannot be read.
    """
    lock = _lock(root)
    projects = list(_projects(root, lock))
    if all(directory != root for _, directory in projects):
        metadata = uv_lock.Metadata(requires_dev=lock.manifest.dependency_groups)
        projects.append((uv_lock.LockedPackage(name="", metadata=metadata), root))
    for package, directory in projects:
        path = f"{directory}/pyproject.toml"
        if not any(os.path.exists(f"{directory}/{name}") for name in PROJECT_FILES):
            raise ActivationFailed(
                f"`{root}/uv.lock` has the project `{package.name}` in `{directory}`, and there is none",
                hint=f"put it back; or, if it is not needed any more, lock without it: {uv_command()} lock",
            )
        if difference := _difference(package, path):
            raise ActivationFailed(
                f"`{root}/uv.lock` does not match `{path}`: {difference}",
                hint=f"lock it again, in {root}: {uv_command()} lock",
            )


def _lock(root: str) -> UvLock:
    path = f"{root}/uv.lock"
    return uv_lock.parse(files.read_text(path, InvalidLock), path)


def _projects(root: str, lock: UvLock) -> Iterator[tuple[LockedPackage, str]]:
    local = [package for package in lock.packages if package.source.path is not None]
    for package in local[:_MOST]:
        yield package, os.path.normpath(os.path.join(root, package.source.path or ""))


def _difference(package: LockedPackage, path: str) -> str:
    """Return what a project declares otherwise than uv.lock has it; empty if it is the same, or if a backend tells it."""
    metadata = package.metadata
    project, groups = _requirements(path)
    locked = [each for group in metadata.requires_dev.values() for each in group]
    for now, then in ((project, metadata.requires_dist), (groups, locked)):
        if now is None:
            continue
        elsewhere = {each.name for each in then if not each.is_from_index}
        declared, recorded = dict[str, set[SpecifierSet]](), dict[str, set[SpecifierSet]]()
        for requirement in now:
            declared.setdefault(canonicalize_name(requirement.name), set()).add(requirement.specifier)
        for each in then:
            recorded.setdefault(each.name, set()).add(_specifier(each.specifier))
        for name in sorted({*declared, *recorded} - {package.name}):  # by its own name it asks for its extras
            if name not in recorded:
                return f"`{name}` was added"
            if name not in declared:
                return f"`{name}` was removed"
            if name not in elsewhere and declared[name] != recorded[name]:
                return f"the version of `{name}` was changed"
    return ""


def _specifier(text: str) -> SpecifierSet:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return SpecifierSet()


def _requirements(path: str) -> tuple[list[Requirement] | None, list[Requirement]]:
    """Return what the [project] in a pyproject.toml needs, its extras included, and what its groups need.

    None instead of the former means that only a build backend can tell it. Raises InvalidFile.
    """
    tables, text = _read(path)
    problems: list[Problem] = []

    def read(texts: object) -> list[Requirement]:
        found = []
        for each in texts if isinstance(texts, list) else ():
            if isinstance(each, str):  # a group may include another one by a table
                try:
                    found.append(Requirement(each))
                except InvalidRequirement as error:
                    why = str(error).partition("\n")[0]
                    message = f"`{each}` is not a requirement: {why[:1].lower()}{why[1:]}"
                    problems.append(Problem(message, line=_line(text, each), hint="write for example `six >= 1.16`"))
        return found

    project, uv = _table(tables, "project"), _table(_table(tables, "tool"), "uv")
    needed = [project.get("dependencies"), *_table(project, "optional-dependencies").values()]
    direct = [requirement for texts in needed for requirement in read(texts)]
    of_groups = [*_table(tables, "dependency-groups").values(), uv.get("dev-dependencies")]
    groups = [requirement for texts in of_groups for requirement in read(texts)]
    if problems:
        raise InvalidFile(path, problems)
    dynamic = project.get("dynamic")
    by_backend = isinstance(dynamic, list) and {"dependencies", "optional-dependencies"} & {*map(str, dynamic)}
    return None if by_backend or not project else direct, groups


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name)
    return table if isinstance(table, dict) else {}


def _line(text: str, requirement: str) -> int | None:
    quoted = (f'"{requirement}"', f"'{requirement}'")
    return next((number for number, line in enumerate(text.splitlines(), 1) if any(q in line for q in quoted)), None)


def _read(path: str) -> tuple[dict[str, Any], str]:
    if not os.path.exists(path):
        return {}, ""
    text = files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST)
    return read_toml(text, path), text
