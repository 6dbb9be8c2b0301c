"""Locking the packages of `[install]`: store paths are written down, all others are taken from the last lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from esker.declare.missing_packages import WITHOUT, known_wheels, named, origins
from esker.errors import ResolutionFailed
from esker.formats.lockfile import CatalogLocked, FlakeLocked, StorePathLocked
from esker.formats.manifest import CatalogPackage, StorePathPackage, migrate
from esker.formats.systems import declared_systems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from esker.formats.lockfile import LockedPackage, Lockfile
    from esker.formats.manifest import FlakePackage, Manifest, Package

    _Chosen = CatalogPackage | FlakePackage

__all__ = ["choice", "lock_packages", "systems_of", "unused_groups"]

_PRIORITY = 5
"""The priority of a package that names none."""
_GROUP = "toplevel"
"""The group of a package that names none."""


def lock_packages(
    manifest: Manifest,
    before: Lockfile | None,
    system: str,
    *,
    layers: Sequence[Lockfile] = (),
    partly: bool = False,
) -> tuple[LockedPackage, ...]:
    """Return the locked packages of `[install]`; `before` is the last lock, and `system` this machine's own.

    As in Flox, a package of a catalogue is locked by path, group, version and the group's stability alone: its other
    keys may change. No catalogue can be asked, so a package cannot be locked that neither the last lock has nor one of
    the `layers`, the locks of included environments; or that they have for fewer systems. Raises ResolutionFailed for
    such packages; with `partly`, the other packages are returned.
    """
    sources = [*([before] if before else []), *layers]
    declared = _declared(manifest, [each for lock in sources for each in _of_catalogues(lock)])
    kept: dict[tuple[str, str], CatalogLocked | FlakeLocked] = {}
    for lock in sources:
        locked = _of_catalogues(lock)
        # An earlier lock may follow another schema than the manifest, so both are compared in the latest one.
        chosen_before = {name: choice(it, lock.manifest) for name, it in _declared(lock.manifest, locked).items()}
        same = {name for name, it in declared.items() if chosen_before.get(name) == choice(it, manifest)}
        for each in locked:
            if each.install_id in same:
                kept.setdefault((each.install_id, each.system), each)
    missing = _missing(manifest, kept.values(), declared, system)
    if missing and not partly:
        raise _not_locked(manifest, missing, {each.install_id for each in kept.values()})
    ordered = _ordered(kept.values(), before) if layers else kept.values()
    return (*_store_paths(manifest, system), *_kept(manifest, ordered, declared))


def _ordered(
    packages: Iterable[CatalogLocked | FlakeLocked], before: Lockfile | None
) -> list[CatalogLocked | FlakeLocked]:
    """Return packages as Flox orders them: of catalogues first, and of each kind the new ones last, sorted."""
    old = {(each.install_id, each.system) for each in before.packages} if before else set()

    def place(each: CatalogLocked | FlakeLocked) -> tuple[bool, bool, tuple[str, ...]]:
        is_new = (each.install_id, each.system) not in old
        group = (each.group,) if isinstance(each, CatalogLocked) else ()
        return isinstance(each, FlakeLocked), is_new, (*group, each.install_id, each.system) if is_new else ()

    return sorted(packages, key=place)


def _of_catalogues(lock: Lockfile) -> list[CatalogLocked | FlakeLocked]:
    return [each for each in lock.packages if not isinstance(each, StorePathLocked)]


def _store_paths(manifest: Manifest, system: str) -> Iterator[StorePathLocked]:
    for name, package in manifest.install.items():
        if isinstance(package, StorePathPackage):
            for each in systems_of(package, manifest, system):
                yield StorePathLocked(
                    install_id=name, store_path=package.store_path, system=each, priority=_priority(package)
                )


def _declared(manifest: Manifest, locked: Sequence[CatalogLocked | FlakeLocked]) -> dict[str, _Chosen]:
    """Return the declared packages of catalogues and flakes, in the latest schema."""
    install = migrate(manifest, locked=locked).install
    return {name: package for name, package in install.items() if not isinstance(package, StorePathPackage)}


def _missing(
    manifest: Manifest, kept: Iterable[LockedPackage], declared: Mapping[str, _Chosen], system: str
) -> dict[str, list[str]]:
    """Return the systems for which each package is not locked, for those packages that are not locked for all."""
    locked_for = {(each.install_id, each.system) for each in kept}
    wanted = {name: systems_of(package, manifest, system) for name, package in declared.items()}
    missing = {name: [each for each in systems if (name, each) not in locked_for] for name, systems in wanted.items()}
    return {name: systems for name, systems in missing.items() if systems}


def _kept(
    manifest: Manifest, kept: Iterable[CatalogLocked | FlakeLocked], declared: Mapping[str, _Chosen]
) -> Iterator[LockedPackage]:
    """Yield what the last lock has of the packages that are declared still, with the priorities that they have now."""
    for each in kept:
        package = declared[each.install_id]
        # Where no systems are declared, a machine whose system is none of the defaults has locked its own too.
        chosen = manifest.options.systems if package.systems is None else package.systems
        if chosen is None or each.system in chosen:
            yield _with_priority(each, package)


def systems_of(package: Package, manifest: Manifest, system: str) -> tuple[str, ...]:
    """Return the systems that a package is locked for, sorted."""
    return declared_systems(manifest.options.systems if package.systems is None else package.systems, system)


def choice(package: Package, manifest: Manifest) -> object:
    """Return what decides which package of a catalogue is locked; of any other package, all that is declared."""
    if isinstance(package, CatalogPackage):
        return package.pkg_path, package.pkg_group, package.version, _stability(package, manifest)
    return package


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


def _not_locked(manifest: Manifest, missing: Mapping[str, list[str]], kept: Collection[str]) -> ResolutionFailed:
    """Return the error for packages that are not locked, with the systems that each is not locked for.

    The packages in `kept` are locked for other systems.
    """
    install, names = manifest.install, sorted(missing)
    systems = {tuple(missing[name]) if name in kept else () for name in names}
    place = " for " + ", ".join(f"`{system}`" for system in systems.pop()) if len(systems) == 1 and all(systems) else ""
    origin, wheels = origins(install, names), known_wheels(install, names, replaceable=len(names) == 1)
    return ResolutionFailed(
        f"{named(names)} of [install] cannot be locked{place}: no catalogue can be asked yet ({origin})",
        hint=f"lock it with Flox first, or go on without packages that are not here: {WITHOUT}{wheels}",
    )
