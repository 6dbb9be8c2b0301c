"""Whether a lock still says what the manifest says, entry by entry, without any network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.formats import pylock
from esker.formats.lockfile import differences
from esker.lock.build_requirements import locked_build
from esker.lock.conda.inputs import conda_inputs
from esker.lock.conda.lock_file import conda_lock_path, is_in_conflict
from esker.lock.own_project import own_project
from esker.lock.pythons import allowed_pythons, staleness_of_python
from esker.lock.wheels import python_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.pylock import Pylock

    from esker.declare.declaration import Declaration
    from esker.lock.conda.lock_file import CondaLock
    from esker.lock.lock_files import Lock

__all__ = ["Staleness", "conda_staleness", "is_uncomposed", "staleness"]


class Staleness(NamedTuple):
    """Whether a lock still says what its declaration says."""

    reasons: tuple[str, ...]
    """One line for each entry that is out of date; empty when the lock is current."""
    inputs: pylock.Inputs | None
    """What the Python lock has to be made from now; None when the manifest declares no Python."""
    python: bool
    """Whether the Python lock is known to be out of date; the rest of the lock may be while it is not."""


def is_uncomposed(declaration: Declaration) -> bool:
    """Return whether a declaration includes environments that are not merged into it."""
    include = declaration.own_manifest.include
    return declaration.layers is None and include is not None and bool(include.environments)


def staleness(
    declaration: Declaration,
    lock: Lock | None,
    system: str,
    indexes: tuple[str, ...],
    *,
    wheels: Pylock | None = None,
    conda: CondaLock | None = None,
) -> Staleness:
    """Return what is out of date in a lock, and what a new lock would be made from; `lock` is None where there is none.

    `indexes` are the package indexes that this machine adds to the default one. `wheels` and `conda` are locks
    that stand alone, without a manifest.lock.
    """
    wheels = lock.python if lock else wheels
    locked = pylock.inputs(wheels) if wheels else None
    conda = lock.conda if lock else conda
    inputs = python_inputs(declaration, system, indexes, locked, conda)
    python = tuple(_python(declaration, wheels, locked, inputs, conda))
    if lock is None:
        return Staleness(("manifest.lock: not made yet",), inputs, python=bool(python))
    changed = differences(lock.lockfile.own_manifest(), declaration.own_manifest)
    if changed and is_uncomposed(declaration):
        return Staleness(changed, inputs, python=False)  # what the other layers declare is not known
    changed = (*changed, *_includes(declaration, lock))
    return Staleness((*changed, *conda_staleness(declaration, conda, system), *python), inputs, python=bool(python))


def _includes(declaration: Declaration, lock: Lock) -> Iterator[str]:
    """Yield which included environments the lock has merged otherwise than the declaration has them now."""
    if declaration.layers is None:  # not composed, because the own manifest has changed or there is nothing to compose
        return
    locked = lock.lockfile.compose.include if lock.lockfile.compose else ()
    for include in declaration.layers.compose.include:
        if include not in locked:
            yield f"include: `{include.name}` has changed"


def conda_staleness(declaration: Declaration, conda: CondaLock | None, system: str) -> Iterator[str]:
    """Yield what is out of date in the lock of conda packages."""
    inputs = conda_inputs(declaration, system, conda.packages if conda else ())
    if inputs is None:
        return
    if conda is None:
        in_conflict = is_in_conflict(conda_lock_path(declaration.dot_flox))
        yield f"conda.lock: {'a merge has left its marks in it' if in_conflict else 'not made yet'}"
    elif conda.inputs is None:
        yield "conda.lock: made by another tool, which does not say from what"
    elif conda.inputs != inputs.digest():
        for each in sorted(set(inputs.systems) ^ conda.packages.keys()):
            yield f"conda.lock: systems: `{each}` is {'not' if each in inputs.systems else 'no longer'} locked"
        if set(inputs.systems) == conda.packages.keys():
            yield "conda.lock: made from other channels, dependencies or system-requirements"


def _python(
    declaration: Declaration,
    wheels: Pylock | None,
    locked: pylock.Inputs | None,
    inputs: pylock.Inputs | None,
    conda: CondaLock | None,
) -> Iterator[str]:
    if inputs is None:
        if wheels is not None:
            yield "pylock.toml: the manifest declares no Python any more"
        return
    if wheels is None:
        yield "pylock.toml: not made yet"
        return
    if locked is None:
        yield "pylock.toml: made by another tool, which does not say from what"
        return
    for alteration in pylock.alterations(wheels, locked):
        yield f"pylock.toml: {alteration}"
    yield from _set("requirements", locked.requirements, inputs.requirements)
    yield from staleness_of_python(wheels, locked, allowed_pythons(declaration, conda))
    yield from _set("systems", locked.systems, inputs.systems)
    yield from _set("build", locked.build, inputs.build)
    yield from _set("indexes", locked.indexes, inputs.indexes)
    yield from _set("build-system", locked.build_system, inputs.build_system)
    project = own_project(declaration)
    if project and locked.build_system == inputs.build_system and locked_build(wheels, project) is None:
        yield f"pylock.toml: what `{project.name}` needs to be built is not locked"
    yield from _set("[tool.uv]", locked.settings, inputs.settings)
    yield from _files(locked.files, inputs.files)
    if locked.uv_lock != inputs.uv_lock:
        change = "is new" if not locked.uv_lock else "is gone" if not inputs.uv_lock else "has changed"
        yield f"pylock.toml: uv.lock {change}"


def _files(locked: Iterable[str], declared: Iterable[str]) -> Iterator[str]:
    before, after = (dict(line.rsplit(" ", 1) for line in lines if " " in line) for lines in (locked, declared))
    for name in sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)):
        change = "is new" if name not in before else "is gone" if name not in after else "has changed"
        yield f"pylock.toml: the metadata of `{name}` {change}"


def _set(name: str, locked: Iterable[str], declared: Iterable[str]) -> Iterator[str]:
    before, after = set(locked), set(declared)
    for entry in sorted(after - before):
        yield f"pylock.toml: {name}: `{entry}` is not locked"
    for entry in sorted(before - after):
        yield f"pylock.toml: {name}: `{entry}` is locked but no longer declared"
