"""What a lock installs on one system, as a person asks for it: names, versions, origins."""

from typing import Literal

import msgspec
from packaging.markers import Marker

from esker.formats.lockfile import CatalogLocked, FlakeLocked
from esker.formats.systems import markers
from esker.lock.resolve import Lock

__all__ = ["Installed", "listing"]


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """One package of an environment."""

    name: str
    version: str | None
    origin: Literal["pypi", "catalog", "flake", "store-path"]
    source: str
    """The index's, catalogue's or flake's own name of it, or the store path."""

    def line(self) -> str:
        """Return the line of `esker list`, as Flox writes it."""
        if self.origin in {"catalog", "pypi"}:
            return f"{self.name}: {self.source} ({self.version})"
        return f"{self.name}: {self.source}"


def listing(lock: Lock | None, system: str) -> list[Installed]:
    """Return what `lock` installs on `system`: packages of [install] first, then Python packages, each by name."""
    if lock is None:
        return []
    return [*_packages(lock, system), *_python(lock, system)]


def _packages(lock: Lock, system: str) -> list[Installed]:
    found = []
    for package in lock.lockfile.packages:
        if package.system != system:
            continue
        descriptor = lock.lockfile.manifest.install.get(package.install_id)
        if isinstance(package, CatalogLocked):
            source = getattr(descriptor, "pkg_path", package.attr_path)
            found.append(Installed(name=package.install_id, version=package.version, origin="catalog", source=source))
        elif isinstance(package, FlakeLocked):
            source = package.locked_url
            found.append(Installed(name=package.install_id, version=package.version, origin="flake", source=source))
        else:
            source = package.store_path
            found.append(Installed(name=package.install_id, version=None, origin="store-path", source=source))
    return sorted(found, key=lambda each: each.name)


def _python(lock: Lock, system: str) -> list[Installed]:
    if lock.python is None:
        return []
    environment = markers(system)
    return [
        Installed(name=package.name, version=str(package.version), origin="pypi", source=f"pypi/{package.name}")
        for package in sorted(lock.python.packages, key=lambda each: each.name)
        if package.marker is None or Marker(str(package.marker)).evaluate(environment)
    ]
