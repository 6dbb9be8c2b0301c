"""Locking the packages of `[install]`: store paths are written down, all others are taken from the last lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from esker.declare.tool_wheels import or_its_wheel
from esker.errors import ResolutionFailed
from esker.formats.lockfile import CatalogLocked, FlakeLocked, StorePathLocked
from esker.formats.manifest import CatalogPackage, StorePathPackage, migrate
from esker.formats.systems import declared_systems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.formats.lockfile import LockedPackage, Lockfile
    from esker.formats.manifest import FlakePackage, Manifest, Package

__all__ = ["lock_packages", "unused_groups"]

_PRIORITY = 5
"""The priority of a package that names none."""
_GROUP = "toplevel"
"""The group of a package that names none."""


def lock_packages(manifest: Manifest, before: Lockfile | None, system: str) -> tuple[LockedPackage, ...]:
    """Return the locked packages of `[install]`; `before` is the last lock, and `system` this machine's own.

    Raises ResolutionFailed for a package that the last lock has not locked, or has locked for fewer systems, because no
    catalogue can be asked. As in Flox, a package of a catalogue is locked by path, group, version and the group's
    stability alone: its other keys may change.
    """
    return (*_store_paths(manifest, system), *_kept(manifest, before, system))


def _store_paths(manifest: Manifest, system: str) -> Iterator[StorePathLocked]:
    for name, package in manifest.install.items():
        if isinstance(package, StorePathPackage):
            for each in _systems(package, manifest, system):
                yield StorePathLocked(
                    install_id=name, store_path=package.store_path, system=each, priority=_priority(package)
                )


def _kept(manifest: Manifest, before: Lockfile | None, system: str) -> Iterator[LockedPackage]:
    """Yield what the last lock has of the packages that are declared still, with the priorities that they have now."""
    locked = [each for each in before.packages if not isinstance(each, StorePathLocked)] if before else []
    # The last lock may follow another schema than the manifest, so both are compared in the latest one.
    previous = _choices(migrate(before.manifest, locked=locked)) if before else {}
    migrated = migrate(manifest, locked=locked)
    choices = _choices(migrated)
    declared = {
        name: package for name, package in migrated.install.items() if not isinstance(package, StorePathPackage)
    }
    for name, package in declared.items():
        is_same = name in previous and previous[name] == choices[name]
        locked_for = {each.system for each in locked if each.install_id == name} if is_same else set()
        missing = sorted(set(_systems(package, manifest, system)) - locked_for)
        if missing:
            raise _not_locked(name, missing if locked_for else [])
    for each in locked:
        if each.install_id in declared:
            package = declared[each.install_id]
            # Where no systems are declared, a machine whose system is none of the defaults has locked its own too.
            chosen = manifest.options.systems if package.systems is None else package.systems
            if chosen is None or each.system in chosen:
                yield _with_priority(each, package)


def _systems(package: Package, manifest: Manifest, system: str) -> tuple[str, ...]:
    """Return the systems that a package is locked for, sorted."""
    return declared_systems(manifest.options.systems if package.systems is None else package.systems, system)


def _choices(manifest: Manifest) -> dict[str, object]:
    """Return, for each package of a catalogue, what decides which one is locked; of others, all that is declared."""
    return {
        name: (package.pkg_path, package.pkg_group, package.version, _stability(package, manifest))
        if isinstance(package, CatalogPackage)
        else package
        for name, package in manifest.install.items()
    }


def _stability(package: CatalogPackage, manifest: Manifest) -> str | None:
    """Return the stability that a package's group is resolved against; None means the catalogue's default."""
    group = manifest.pkg_groups.get(package.pkg_group or _GROUP)
    return (group.stability if group else None) or manifest.options.stability


def unused_groups(manifest: Manifest) -> list[str]:
    """Return the groups of `[pkg-groups]` that no package is in; the packages of an included environment may be."""
    packages = manifest.install.values()
    used = {package.pkg_group for package in packages if isinstance(package, CatalogPackage)} | {_GROUP}
    return [] if manifest.include else [name for name in manifest.pkg_groups if name not in used]


def _with_priority(locked: CatalogLocked | FlakeLocked, package: CatalogPackage | FlakePackage) -> LockedPackage:
    """Return a locked package of a catalogue with the declared priority; a flake's cannot have changed."""
    if isinstance(locked, CatalogLocked):
        return msgspec.structs.replace(locked, priority=_priority(package))
    return locked


def _priority(package: Package) -> int:
    return _PRIORITY if package.priority is None else package.priority


def _not_locked(name: str, systems: list[str]) -> ResolutionFailed:
    """Return the error for a package that is not locked: at all, or only for the given `systems`."""
    place = " for " + ", ".join(f"`{system}`" for system in systems) if systems else ""
    return ResolutionFailed(
        f"`{name}` of [install] cannot be locked{place}: no catalogue can be asked yet",
        hint=f"lock it with Flox first{or_its_wheel(name)}",
    )
