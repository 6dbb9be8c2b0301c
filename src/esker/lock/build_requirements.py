"""What builds the project itself and the packages from sources: locked with hashes, as lines of a requirements file.

They stand in pylock.toml below `[tool.esker.build-requirements]`, apart from the packages: they are not part of the
environment. A line is `NAME==VERSION --hash=sha256:…`, with a marker after the version where one is needed.

A backend says twice what it needs: in `[build-system]`, and when it is asked (PEP 517). Of the project itself, the
second answer is worked out from its settings, by `own_project`. Of a package from a source, the backend is asked. That
runs its code, in an environment that has the first answer's wheels, locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from esker.errors import ResolutionFailed
from esker.formats import pylock
from esker.host import files
from esker.host.scratch import scratch
from esker.lock.build_backend import build_system, workshop
from esker.lock.locked_sources import is_from_source
from esker.lock.source_trees import commit_tree, fetch, identity, source_tree
from esker.lock.wheels import resolve_build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from packaging.pylock import Package, Pylock

    from esker.host.interpreters import Interpreter
    from esker.lock.own_project import OwnProject
    from esker.lock.source_trees import SourceTree
    from esker.lock.uv_settings import UvSettings

    Resolve = Callable[[tuple[str, ...], tuple[str, ...]], Pylock]
    """Gives the lock of build requirements; the second argument are lines of an earlier lock, whose versions stay."""

__all__ = ["check_not_locked", "locked_build", "resolved_build", "with_source_builds"]


def locked_build(lock: Pylock, project: OwnProject) -> tuple[str, ...] | None:
    """Return the locked build requirements of `project`, or None if the lock has none of it and they are needed.

    Raises InvalidLock for a line that is anything but a version with hashes: uv would read options there.
    """
    needs_none = not project.requirements or project.is_built_by_uv
    return pylock.build_requirements(lock).get(project.name, () if needs_none else None)


def check_not_locked(project: OwnProject, lock: Pylock) -> None:
    """Raise ResolutionFailed if `lock` has a package of the project's name: only one of them can be installed."""
    if any(package.name == project.name for package in lock.packages):
        raise ResolutionFailed(
            f"`{project.name}` is the project itself, but its requirements ask an index for a package of that name",
            hint=f"take it out of the requirements, or rename the project: {project.pyproject}",
        )


def resolved_build(  # noqa: PLR0913  # each is a value of its own, from another place
    project: OwnProject,
    inputs: pylock.Inputs,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    previous: Pylock | None,
    new: Pylock,
    every_python: bool,
    settings: UvSettings,
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
    pins = [line for line in lines or () if (it := pylock.pinned(line)) and canonicalize_name(it.name) not in changed]
    try:
        resolved = resolve_build(
            project.requirements, pins, inputs, interpreter, tools, every_python=every_python, settings=settings
        )
    except ResolutionFailed as error:
        raise ResolutionFailed(
            f"what `{project.name}` needs to be built cannot be locked: {error.message}",
            hint=f"change `requires` of [build-system] in {project.pyproject}",
        ) from error
    return _lines(resolved, project.name, hint=f"`requires` of [build-system] in {project.pyproject}")


def _build_inputs(inputs: pylock.Inputs) -> pylock.Inputs:
    """Return the part of a lock's inputs that bears on the build of the project."""
    return msgspec.structs.replace(inputs, requirements=inputs.build_system, build=(), build_system=(), files=())


def with_source_builds(
    lock: Pylock,
    inputs: pylock.Inputs,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    settings: UvSettings,
    previous: Pylock | None = None,
    every_python: bool = False,
) -> Pylock:
    """Return `lock` with a record of each package that is built from a source: it is fetched, and its backend asked.

    Versions that `previous` has locked for the build of a package stay while its backend takes them.
    """

    def resolve(requirements: tuple[str, ...], pins: tuple[str, ...]) -> Pylock:
        return resolve_build(
            requirements, pins, inputs, interpreter, tools, every_python=every_python, settings=settings
        )

    earlier = pylock.source_records(previous) if previous is not None else {}
    before = {key.partition(" ")[0]: record.build_requirements for key, record in earlier.items()}
    records = []
    for package in lock.packages:
        source = source_tree(package, {}, settings.sources, settings.lock_directory)
        if source is None or not is_from_source(package) or source.is_wheel:
            continue
        pins = before.get(package.name, ())
        tree, lines = _locked(source, resolve, interpreter, tools, settings=settings, pins=pins)
        records.append(pylock.SourceRecord(source=identity(package), tree=tree, build_requirements=lines))
    return pylock.with_source_records(lock, records) if records else lock


def _locked(
    source: SourceTree,
    resolve: Resolve,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    settings: UvSettings,
    pins: tuple[str, ...],
) -> tuple[str, tuple[str, ...]]:
    """Return the hash of the tree of a repository, and the locked lines of what its build needs."""
    with scratch("source") as above, files.refused("build packages in", above):
        directory = fetch(source, f"{above}/source", tools)
        tree = commit_tree(directory, tools) if source.kind == "git" else ""
        system = build_system(directory)
        wanted = _checked([*system.requires, *settings.extra_build.get(source.name, ())], source)
        if system.is_built_by_uv and set(wanted) == set(system.requires):
            return tree, ()
        lines = _lines_for(source, resolve, wanted, pins)
        hook = f"get_requires_for_build_{'editable' if source.editable else 'wheel'}"
        with workshop(lines, interpreter, tools, settings.configuration()) as place:
            answer = place.call(hook, None, tree=directory, name=source.name, system=system)
        more = _checked(answer or [], source)
        if set(more) - set(wanted):
            lines = _lines_for(source, resolve, tuple(dict.fromkeys((*wanted, *more))), lines)
        return tree, lines


def _lines_for(
    source: SourceTree, resolve: Resolve, requirements: tuple[str, ...], pins: tuple[str, ...]
) -> tuple[str, ...]:
    if not requirements:
        return ()
    try:
        return _lines(resolve(requirements, pins), source.name, hint="`requires` in its [build-system]")
    except ResolutionFailed as error:
        message = f"what `{source.name}` is built with cannot be locked: {error.message}"
        raise ResolutionFailed(message, hint=error.hint) from error


def _checked(texts: Sequence[str], source: SourceTree) -> tuple[str, ...]:
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            message = f"`{source.name}` asks for `{text}` to be built, which is not a requirement: {error}"
            raise ResolutionFailed(message, hint="mend `requires` in its [build-system]") from error
        if requirement.url is not None:
            message = f"`{source.name}` asks for `{requirement.name}` at an address to be built"
            hint = "name a version from an index in `requires` of its [build-system]: its hash can be locked"
            raise ResolutionFailed(message, hint=hint)
    return tuple(texts)


def _lines(lock: Pylock, name: str, *, hint: str) -> tuple[str, ...]:
    """Return the packages of a lock as lines that uv installs with their hashes; they are for the build of `name`."""
    packages = sorted(lock.packages, key=lambda each: (each.name, str(each.version)))
    return tuple(_line(package, lock, name, hint) for package in packages)


def _line(package: Package, lock: Pylock, name: str, hint: str) -> str:
    hashes = sorted({f"{kind}:{value}" for wheel in package.wheels or () for kind, value in wheel.hashes.items()})
    is_conditional = package.marker is not None and not _is_everywhere(package.marker, lock.environments or ())
    marker = f" ; {package.marker}" if is_conditional else ""
    line = f"{package.name}=={package.version}{marker}" + "".join(f" --hash={each}" for each in hashes)
    if pylock.pinned(line) is None:
        message = f"`{package.name}`, which `{name}` needs to be built, has no wheel with a hash"
        raise ResolutionFailed(message, hint=f"ask for another version in {hint}")
    return line


def _is_everywhere(marker: object, environments: Iterable[object]) -> bool:
    """Return whether a marker names all environments of a lock, and so nothing that would have to be checked."""
    parts = [{part.strip(" ()") for part in str(each).split(" or ")} for each in (marker, *environments)]
    return parts[0] == set().union(*parts[1:])
