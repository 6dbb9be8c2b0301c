"""What differs between two locks, package by package."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from packaging.version import Version

from esker.formats.abridged import abridged
from esker.formats.lockfile import CatalogLocked, FlakeLocked
from esker.lock.pythons import locked_pythons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.lock.lock_files import Lock

__all__ = ["PackageChange", "package_changes", "summary"]

_MOST_LINES = 20


class PackageChange(NamedTuple):
    """A package whose locked version has changed; where the systems have several, they are joined by commas."""

    name: str
    before: str | None
    """None if the package is new."""
    after: str | None
    """None if the package is gone."""

    def line(self) -> str:
        """Return the change as people read it.

        >>> PackageChange("starlette", "1.9", "1.10").line(), PackageChange("anyio", "4.1", None).line()
        ('~ starlette 1.9 → 1.10', '- anyio 4.1')
        """
        if self.before is None:
            return f"+ {self.name} {self.after}".rstrip()
        if self.after is None:
            return f"- {self.name} {self.before}".rstrip()
        return f"~ {self.name} {self.before} → {self.after}"

    def record(self) -> dict[str, str | None]:
        """Return the change as `--json` shows it."""
        return {"name": self.name, "before": self.before, "after": self.after}


def package_changes(before: Lock | None, after: Lock | None) -> list[PackageChange]:
    """Return what has changed from one lock to another, on any system, sorted by name; no lock counts as an empty one.

    The Python that a lock is for comes first, if both locks are for one.
    """
    old, new = _versions(before), _versions(after)
    changes = [
        PackageChange(name, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys(), key=lambda key: (key[1], key[0]))
        for name in (key[1],)
        if old.get(key) != new.get(key)
    ]
    pythons = [locked_pythons(lock.python) if lock and lock.python else None for lock in (before, after)]
    if None not in pythons and pythons[0] != pythons[1]:
        changes.insert(0, PackageChange("python", pythons[0], pythons[1]))
    return changes


def summary(changes: Sequence[PackageChange]) -> str:
    """Return the changes as lines for people, the first twenty of them; empty if there are none."""
    shown, others = abridged(changes, _MOST_LINES)
    return "\n".join([*(change.line() for change in shown), *([f"… and {others} more"] if others else [])])


def _versions(lock: Lock | None) -> dict[tuple[str, str], str]:
    """Return the versions of each package of a lock, by its origin and name."""
    if lock is None:
        return {}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for package in lock.lockfile.packages:
        version = package.version if isinstance(package, CatalogLocked | FlakeLocked) else None
        found["install", package.install_id].add(version or "")
    for wheel in lock.python.packages if lock.python else ():
        version = str(wheel.version or "")
        found["pypi", wheel.name].add(f"{version} ({wheel.vcs.commit_id[:12]})".lstrip() if wheel.vcs else version)
    for each in lock.conda.all_packages() if lock.conda else ():
        found["conda", each.name].add(each.version)
    return {key: ", ".join(sorted(filter(None, versions), key=_order)) for key, versions in found.items()}


def _order(version: str) -> tuple[bool, Version, str]:
    """Return what sorts versions: those of Python's kind by number, before all others."""
    from packaging.version import InvalidVersion

    try:
        return False, Version(version), version
    except InvalidVersion:
        return True, Version("0"), version
