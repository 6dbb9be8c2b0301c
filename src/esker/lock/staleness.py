"""Whether a lock still says what the manifest says, entry by entry, without any network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.formats import pylock
from esker.formats.lockfile import differences
from esker.lock.wheels import python_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from esker.declare.declaration import Declaration
    from esker.lock.lock_files import Lock

__all__ = ["Staleness", "staleness"]


class Staleness(NamedTuple):
    """Whether a lock still says what its declaration says."""

    reasons: tuple[str, ...]
    """One line for each entry that is out of date; empty when the lock is current."""
    inputs: pylock.Inputs | None
    """What the Python lock has to be made from now; None when the manifest declares no Python."""


def staleness(declaration: Declaration, lock: Lock | None, system: str, indexes: tuple[str, ...]) -> Staleness:
    """Return what is out of date in a lock, and what a new lock would be made from; `lock` is None where there is none.

    `indexes` are the package indexes that this machine adds to the default one.
    """
    locked = pylock.inputs(lock.python) if lock and lock.python else None
    inputs = python_inputs(declaration, system, indexes, locked)
    if lock is None:
        return Staleness(("manifest.lock: not made yet",), inputs)
    changed = differences(lock.lockfile.own_manifest(), declaration.own_manifest)
    return Staleness((*changed, *_python(lock, locked, inputs)), inputs)


def _python(lock: Lock, locked: pylock.Inputs | None, inputs: pylock.Inputs | None) -> Iterator[str]:
    if inputs is None:
        if lock.python is not None:
            yield "pylock.toml: the manifest declares no Python any more"
        return
    if lock.python is None:
        yield "pylock.toml: not made yet"
        return
    if locked is None:
        yield "pylock.toml: made by another tool, which does not say from what"
        return
    yield from _set("requirements", locked.requirements, inputs.requirements)
    if locked.python != inputs.python:
        yield f"pylock.toml: python is `{inputs.python or 'any'}`, locked for `{locked.python or 'any'}`"
    yield from _set("systems", locked.systems, inputs.systems)
    yield from _set("build", locked.build, inputs.build)
    yield from _set("indexes", locked.indexes, inputs.indexes)


def _set(name: str, locked: Iterable[str], declared: Iterable[str]) -> Iterator[str]:
    before, after = set(locked), set(declared)
    for entry in sorted(after - before):
        yield f"pylock.toml: {name}: `{entry}` is not locked"
    for entry in sorted(before - after):
        yield f"pylock.toml: {name}: `{entry}` is locked but no longer declared"
