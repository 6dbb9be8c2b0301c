"""The packages that a lock installs on one system, as `esker list` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from packaging.markers import Marker

from esker.formats.lockfile import CatalogLocked, FlakeLocked, LockedPackage, StorePathLocked
from esker.formats.systems import markers
from esker.lock.pythons import locked_pythons

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.pylock import Package

    from esker.lock.lock_files import Lock

__all__ = ["Installed", "applies", "listing", "locked_interpreter"]

_PRIORITY = 5
"""The priority of a package that names none."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """One package of an environment."""

    name: str
    version: str | None
    origin: Literal["pypi", "conda", "catalog", "flake", "store-path", "interpreter"]
    source: str
    """The name that its index, catalogue or flake has for it, or its store path; of Python, what the lock allows."""
    priority: int | None = None
    """Where two packages have a file of the same name, the package with the lower number wins."""
    details: tuple[tuple[str, str], ...] = ()
    """Further facts, each a label of Flox's and a text."""

    def record(self) -> dict[str, Any]:
        """Return the package as `esker list --json` shows it."""
        return {"name": self.name, "version": self.version, "origin": self.origin, "source": self.source}

    def line(self) -> str:
        """Return the line that `esker list` prints, which is Flox's."""
        if self.origin in {"catalog", "conda", "pypi"}:
            return f"{self.name}: {self.source} ({self.version})"
        if self.origin == "interpreter":
            return f"{self.name}: interpreter ({self.version})"
        return f"{self.name}: {self.source}"


def listing(lock: Lock | None, system: str) -> list[Installed]:
    """Return the packages that `lock` installs on `system`: of [install], of conda channels, then Python packages.

    Each kind is sorted by name.
    """
    if lock is None:
        return []
    return [*_packages(lock, system), *_conda(lock, system), *_python(lock, system)]


def applies(package: Package, system: str) -> bool:
    """Return whether a locked Python package is installed on a system."""
    return package.marker is None or Marker(str(package.marker)).evaluate(markers(system))


def locked_interpreter(lock: Lock | None) -> Installed | None:
    """Return the Python that `lock` is for, whose version is a minor one or a range; None if it has no Python."""
    if lock is None or lock.python is None:
        return None
    version = locked_pythons(lock.python)
    return Installed(
        name="python",
        version=version,
        origin="interpreter",
        source=str(lock.python.requires_python or ""),
        details=(("Version", version),),
    )


def _packages(lock: Lock, system: str) -> list[Installed]:
    found = []
    for package in lock.lockfile.packages:
        if package.system != system:
            continue
        descriptor = lock.lockfile.manifest.install.get(package.install_id)
        version, origin, source = _origin(package, getattr(descriptor, "pkg_path", None))
        found.append(
            Installed(
                name=package.install_id,
                version=version,
                origin=origin,
                source=source,
                priority=_PRIORITY if package.priority is None else package.priority,
                details=tuple(_details(package, source, version)),
            )
        )
    return sorted(found, key=lambda each: each.name)


def _origin(
    package: LockedPackage, pkg_path: str | None
) -> tuple[str | None, Literal["catalog", "flake", "store-path"], str]:
    if isinstance(package, CatalogLocked):  # a package whose version nobody knows goes by its full name
        return package.version or package.name, "catalog", pkg_path or package.attr_path
    if isinstance(package, FlakeLocked):
        return package.version, "flake", package.locked_url
    return None, "store-path", package.store_path


def _details(package: LockedPackage, source: str, version: str | None) -> Iterator[tuple[str, str]]:
    """Yield label and text for each fact that `flox list -a` shows of a package, if the lock holds it."""
    if isinstance(package, StorePathLocked):
        yield from (("Store Path", source), ("Priority", str(package.priority)))
        return
    licenses = package.license if isinstance(package, CatalogLocked) else ", ".join(package.licenses or ())
    told = {
        "Description": package.description,
        "Package Path": source,
        "Package Name": package.pname or package.name,
        "Priority": str(_PRIORITY if package.priority is None else package.priority),
        "Version": version,
        "License": licenses,
        "Unfree": _word(value=package.unfree),
        "Broken": _word(value=package.broken),
        "Available Outputs": _outputs(package.outputs),
        "Installed Outputs": _outputs(package.outputs, package.store_paths()),
    }
    yield from ((label, text) for label, text in told.items() if text)


def _word(*, value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _outputs(outputs: Mapping[str, str], paths: tuple[str, ...] | None = None) -> str:
    return ", ".join(sorted(name for name, path in outputs.items() if paths is None or path in paths))


def _version(package: Package) -> str:
    """Return the version of a Python package; that of a source is known to its build alone, so its place stands."""
    if package.version is not None:
        return str(package.version)
    if package.directory is not None:
        return package.directory.path
    if package.vcs is not None:
        return package.vcs.commit_id[:12]
    return (package.archive.url or package.archive.path or "") if package.archive is not None else ""


def _conda(lock: Lock, system: str) -> list[Installed]:
    packages = lock.conda.packages.get(system, ()) if lock.conda else ()
    return [
        Installed(
            name=package.name,
            version=package.version,
            origin="conda",
            source=f"conda/{package.name}",
            details=(
                ("Package Path", f"conda/{package.name}"),
                ("Version", package.version),
                ("Build", package.build),
                ("Channel", package.url.rpartition("/")[0].removesuffix(f"/{package.subdir}")),
            ),
        )
        for package in sorted(packages, key=lambda each: each.name)
    ]


def _python(lock: Lock, system: str) -> list[Installed]:
    if lock.python is None:
        return []
    return [
        Installed(
            name=package.name,
            version=_version(package),
            origin="pypi",
            source=f"pypi/{package.name}",
            details=(("Package Path", f"pypi/{package.name}"), ("Version", _version(package))),
        )
        for package in sorted(lock.python.packages, key=lambda each: each.name)
        if applies(package, system)
    ]
