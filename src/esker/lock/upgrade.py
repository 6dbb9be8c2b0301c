"""Upgrades of single packages: they get the newest versions that are allowed, and all others stay where they can."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from esker.errors import ResolutionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging.pylock import Pylock

__all__ = ["upgraded"]


def upgraded(names: frozenset[str], before: Pylock, locked: Callable[[Pylock | None], Pylock]) -> Pylock:
    """Return a lock in which the packages `names` are as new as in one where no version stays.

    `locked` makes a lock in which the versions of another one stay: those of `names` all of them, the others where they
    can; without another one, all versions are free.
    """
    free = locked(None)
    if names.issuperset(each.name for each in before.packages):
        return free
    # With all others where they were, the resolver would rather take an older version of `names` than move another.
    packages = [each for each in before.packages if each.name not in names]
    packages += [each for each in free.packages if each.name in names]
    try:
        return locked(dataclasses.replace(before, packages=packages))
    except ResolutionFailed:
        return free
