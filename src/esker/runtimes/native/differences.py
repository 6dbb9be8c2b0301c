"""What differs between two generations of an environment, in one line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.declare.load import load
from esker.errors import EskerError
from esker.formats.abridged import abridged
from esker.formats.lockfile import differences
from esker.lock.changes import package_changes
from esker.lock.resolve import readable_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.declare.declaration import Declaration
    from esker.lock.lock_files import Lock
    from esker.store.registration import Generation

__all__ = ["difference"]

_OF_PACKAGES = ("`install.", "`plugins.esker.python.", "`plugins.esker.conda.")
_MOST = 4
"""How many packages, and how many keys of the manifest, are named."""


def difference(before: Generation | None, declaration: Declaration, lock: Lock) -> str:
    """Return what the environment has that the generation `before` had not, and what it lacks; values are left out."""
    if before is None:
        return "first generation"
    if before.declared is None:
        return "follows one that an earlier Esker made"
    try:
        then = load(before.declared)  # laid out as a project, with its lock
        old = readable_lock(then)
    except EskerError:  # what was kept is damaged
        return "follows one that cannot be read"
    packages = [change.line() for change in package_changes(old, lock)]
    keys = list(differences(then.own_manifest, declaration.own_manifest))
    if packages:  # which says more than the keys that name packages
        keys = [key for key in keys if not key.startswith(_OF_PACKAGES)]
    told = [*_first(packages, "packages"), *_first(keys, "keys of the manifest")]
    return ", ".join(told) or "made anew of the same manifest and lock"


def _first(lines: Sequence[str], what: str) -> list[str]:
    """Return the first of some lines, and the number of the others if there are more than one."""
    first, others = abridged(lines, _MOST)
    return [*first, *([f"{others} more {what}"] if others else [])]
