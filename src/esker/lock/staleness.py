"""Whether a lock still says what the manifest says, entry by entry, without any network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.formats import pylock
from esker.formats.lockfile import differences
from esker.lock.wheels import python_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.declare.declaration import Declaration
    from esker.lock.resolve import Lock

__all__ = ["stale_entries"]


def stale_entries(
    declaration: Declaration, lock: Lock | None, system: str, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Return one line for each entry that is out of date, with the reason; none when the lock is current."""
    if lock is None:
        return ("manifest.lock: not made yet",)
    changed = differences(lock.lockfile.own_manifest(), declaration.manifest)
    return (*changed, *_python(declaration, lock, system, environ))


def _python(declaration: Declaration, lock: Lock, system: str, environ: Mapping[str, str]) -> Iterator[str]:
    locked = pylock.inputs(lock.python) if lock.python else None
    wanted = python_inputs(declaration, system, environ, locked)
    if wanted is None:
        if lock.python is not None:
            yield "pylock.toml: the manifest declares no Python any more"
        return
    if lock.python is None:
        yield "pylock.toml: not made yet"
        return
    if locked is None:
        yield "pylock.toml: made by another tool, which does not say from what"
        return
    yield from _set("requirements", locked.requirements, wanted.requirements)
    if locked.python != wanted.python:
        yield f"pylock.toml: python is `{wanted.python or 'any'}`, locked for `{locked.python or 'any'}`"
    yield from _set("systems", locked.systems, wanted.systems)
    yield from _set("build", locked.build, wanted.build)
    yield from _set("indexes", locked.indexes, wanted.indexes)


def _set(name: str, locked: Iterable[str], wanted: Iterable[str]) -> Iterator[str]:
    before, after = set(locked), set(wanted)
    for entry in sorted(after - before):
        yield f"pylock.toml: {name}: `{entry}` is not locked"
    for entry in sorted(before - after):
        yield f"pylock.toml: {name}: `{entry}` is locked but no longer declared"
