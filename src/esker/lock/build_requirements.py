"""What the project itself needs to be built: locked with hashes, as lines of a requirements file.

They stand in pylock.toml below `[tool.esker.build-requirements]`, apart from the packages: they are not part of the
environment. A line is `NAME==VERSION --hash=sha256:…`, with a marker after the version where one is needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from esker.errors import InvalidLock, Problem, ResolutionFailed
from esker.formats import pylock
from esker.lock.wheels import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.lock.own_project import OwnProject

__all__ = ["check_not_locked", "locked_build", "resolved_build"]

_HASH = re.compile(r" --hash=sha(256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})")


def locked_build(lock: Pylock, project: OwnProject) -> tuple[str, ...] | None:
    """Return the locked build requirements of `project`, or None if the lock has none of it and they are needed.

    Raises InvalidLock for a line that is anything but a version with hashes: uv would read options there.
    """
    needs_none = not project.requirements or project.is_built_by_uv
    lines = pylock.build_requirements(lock).get(project.name, () if needs_none else None)
    for line in lines or ():
        _parsed(line)
    return lines


def check_not_locked(project: OwnProject, lock: Pylock) -> None:
    """Raise ResolutionFailed if `lock` has a package of the project's name: only one of them can be installed."""
    if any(package.name == project.name for package in lock.packages):
        raise ResolutionFailed(
            f"`{project.name}` is the project itself, but its requirements ask an index for a package of that name",
            hint=f"take it out of the requirements, or rename the project: {project.pyproject}",
        )


def resolved_build(
    project: OwnProject,
    inputs: pylock.Inputs,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    previous: Pylock | None,
    new: Pylock,
    every_python: bool,
) -> tuple[str, ...]:
    """Return the build requirements of `project`, locked as its other packages are.

    The lines of the `previous` lock stay as they are if nothing that bears on them has changed: what is asked for, and
    the Pythons that the `new` lock is for.
    """
    if not project.requirements:
        return ()
    made_from = pylock.inputs(previous) if previous is not None else None
    lines = locked_build(previous, project) if previous is not None else None
    if previous is not None and made_from is not None and lines is not None:
        is_same_python = previous.requires_python == new.requires_python
        if is_same_python and _build_inputs(made_from) == _build_inputs(inputs):
            return lines
    if project.is_built_by_uv:
        return ()
    before = made_from.build_system if made_from else ()
    changed = frozenset(canonicalize_name(Requirement(each).name) for each in {*before} ^ {*project.requirements})
    try:
        resolved = resolve(
            _build_inputs(inputs),
            interpreter,
            tools,
            previous=_as_lock(lines or ()),
            changed=changed,
            every_python=every_python,
        )
    except ResolutionFailed as error:
        raise ResolutionFailed(
            f"what `{project.name}` needs to be built cannot be locked: {error.message}",
            hint=f"change `requires` of [build-system] in {project.pyproject}",
        ) from error
    return tuple(_line(package, project) for package in sorted(resolved.packages, key=lambda each: each.name))


def _build_inputs(inputs: pylock.Inputs) -> pylock.Inputs:
    """Return the part of a lock's inputs that bears on the build of the project."""
    return msgspec.structs.replace(inputs, requirements=inputs.build_system, build=(), build_system=())


def _line(package: Package, project: OwnProject) -> str:
    hashes = sorted({f"{kind}:{value}" for wheel in package.wheels or () for kind, value in wheel.hashes.items()})
    marker = f" ; {package.marker}" if package.marker else ""
    line = f"{package.name}=={package.version}{marker}" + "".join(f" --hash={each}" for each in hashes)
    if not hashes or package.version is None:
        raise ResolutionFailed(
            f"`{package.name}`, which `{project.name}` needs to be built, has no wheel with a hash",
            hint=f"ask for another version in `requires` of [build-system] in {project.pyproject}",
        )
    _parsed(line)
    return line


def _parsed(line: str) -> Requirement:
    """Return what a locked line asks for."""
    hashes = _HASH.search(line)
    head, rest = (line[: hashes.start()], line[hashes.start() :]) if hashes else (line, "-")
    try:
        requirement = Requirement(head)
        is_pinned = re.fullmatch(r"==[^,*=\s]+", str(requirement.specifier)) is not None
    except InvalidRequirement:
        is_pinned = False
    if not is_pinned or requirement.url or _HASH.sub("", rest) or "\n" in line or "\r" in line:
        problem = Problem(f"`{line[:80]}` is not a version with hashes", hint="make the lock again: esker lock")
        raise InvalidLock("pylock.toml", [problem])
    return requirement


def _as_lock(lines: Sequence[str]) -> Pylock:
    """Return a lock that pins what the lines do."""
    requirements = [_parsed(line) for line in lines]
    packages = [
        Package(
            name=canonicalize_name(each.name),
            version=Version(str(each.specifier).removeprefix("==")),
            marker=each.marker,
            wheels=[PackageWheel(url="file:///-", hashes={"sha256": ""})],
        )
        for each in requirements
    ]
    return Pylock(lock_version=Version("1.0"), created_by="esker", packages=packages)
