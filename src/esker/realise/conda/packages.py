"""Conda packages in the store: each is one store path, fetched and unpacked once for all prefixes that have it."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import StoreError
from esker.formats.nix import store_path
from esker.host import files
from esker.host.rattler import require_rattler
from esker.progress import reporting
from esker.realise.conda import contents
from esker.realise.conda.fetching import fetch
from esker.realise.conda.unpacked import prepared
from esker.store.listing import LINK, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rattler import Client

    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.progress import Progress
    from esker.realise.conda.contents import Contents
    from esker.store.listing import Listing
    from esker.store.store import Store

__all__ = ["Unpacked", "unpacked_packages"]

RECIPE = 1
"""Increase it whenever the same archive would give a different tree."""
_TOGETHER = 100
"""How many packages are made in one go: each needs open files for its lock and its record."""
_TIME = 10**9
_MEGABYTE = 10**6


class Unpacked(NamedTuple):
    """A package in the store."""

    package: LockedCondaPackage
    path: str
    """Its physical store path."""
    contents: Contents


def unpacked_packages(
    store: Store,
    packages: Sequence[LockedCondaPackage],
    client: Callable[[], Client],
    progress: Progress,
    *,
    largest: int | None = None,
) -> tuple[Unpacked, ...]:
    """Return the packages in their order, fetching those that are missing or have changed since they were unpacked.

    A file has changed if its size, time or mode has. `client` is called once something has to be fetched. No package
    may have more than `largest` bytes. Raises RealisationFailed, HostError and StoreError.
    """
    keys = {package.sha256: _key(package) for package in packages}
    unpacked: dict[str, Unpacked] = {}
    for package in packages:
        path = store.path(*keys[package.sha256])
        if store.is_valid(path):
            found = _read(package, path)
            if found is None:
                store.invalidate(path)
            else:
                unpacked[package.sha256] = found
    missing = [*{each.sha256: each for each in packages if each.sha256 not in unpacked}.values()]
    for start in range(0, len(missing), _TOGETHER):
        group = {store.path(*keys[each.sha256]): each for each in missing[start : start + _TOGETHER]}

        def fill(directories: Mapping[str, str], group: Mapping[str, LockedCondaPackage] = group) -> dict[str, Listing]:
            chosen = {directory: group[path] for path, directory in directories.items()}
            with reporting(progress):
                _make(chosen, client, progress, largest)
            return {path: prepared(directory, group[path]) for path, directory in directories.items()}

        store.build_all([keys[each.sha256] for each in group.values()], fill)
        for path, package in group.items():
            found = _read(package, path)
            if found is None:
                raise StoreError(f"`{path}` has changed since it was made", hint="see what changes it, and try again")
            unpacked[package.sha256] = found
    return tuple(unpacked[package.sha256]._replace(package=package) for package in packages)


def _key(package: LockedCondaPackage) -> tuple[str, str]:
    """Return the name and the fingerprint of a package's store path."""
    title = store_path.fitting(package.title) or "package"
    return title, "conda-package:" + json.dumps([RECIPE, package.title, package.sha256])


def _make(
    packages: Mapping[str, LockedCondaPackage], client: Callable[[], Client], progress: Progress, largest: int | None
) -> None:
    require_rattler()
    size = sum(package.size or 0 for package in packages.values())
    amount = f"{len(packages)} conda package" + ("s" if len(packages) > 1 else "")
    amount += f" ({size / _MEGABYTE:.1f} MB)" if size else ""
    progress.begin(f"Fetching {amount}", total=len(packages))
    fetch(packages, client(), progress, largest=largest)
    progress.finish(amount)


def _read(package: LockedCondaPackage, path: str) -> Unpacked | None:
    """Return a package that lies in the store, or None if one of its files is not as it was made."""
    try:
        found = contents.parse(files.read(f"{path}/{contents.FILE_NAME}", error=StoreError))
        for place, item in found.items.items():
            if item.kind == LINK:
                continue
            status = os.lstat(f"{path}/{place}")
            mode = stat.S_IFREG | (0o555 if item.kind == PROGRAM else 0o444)
            if (status.st_mode, status.st_size, status.st_mtime_ns) != (mode, item.size, _TIME):
                return None
    except (StoreError, OSError, ValueError, KeyError, TypeError):
        return None
    return Unpacked(package, path, found)
