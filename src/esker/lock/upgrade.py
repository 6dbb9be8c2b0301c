"""Upgrades of single packages: they get the newest versions that are allowed, and all others stay where they can."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from esker.lock.edges import reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from packaging.pylock import Pylock

__all__ = ["upgraded"]


def upgraded(names: frozenset[str], before: Pylock, locked: Callable[[Pylock | None], Pylock]) -> Pylock:
    """Return a lock in which the packages `names` are as new as in one where no version stays.

    `locked` makes a lock in which the versions of another one stay, or all versions are free where they cannot stay.
    """
    free = locked(None)
    if names.issuperset(each.name for each in before.packages):
        return free
    # With everything else pinned as it is, the resolver would rather take an older version than move a pin.
    for moved in (names, reachable(free, names)):
        made = locked(_mixed(before, free, moved))
        if _stay(before, made, moved):
            return made
    return free


def _mixed(before: Pylock, free: Pylock, moved: Collection[str]) -> Pylock:
    packages = [each for each in before.packages if each.name not in moved]
    packages += [each for each in free.packages if each.name in moved]
    return dataclasses.replace(before, packages=packages)


def _stay(before: Pylock, after: Pylock, moved: Collection[str]) -> bool:
    """Return whether each package that both locks have is the same version in both, but for those that have moved."""
    old, new = ({(each.name, str(each.version)) for each in lock.packages} for lock in (before, after))
    names = {name for name, _ in old}
    return all(entry in old for entry in new if entry[0] in names and entry[0] not in moved)
