"""Conda packages in the store: each is one store path, fetched and unpacked once for all prefixes that have it."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import StoreError
from esker.formats.counted import counted
from esker.formats.nix import store_path
from esker.host import files
from esker.host.rattler import require_rattler
from esker.progress import reporting
from esker.realise.conda import contents
from esker.realise.conda.unpacked import prepared
from esker.store.listing import LINK, PROGRAM, altered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rattler import Client

    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.progress import Progress
    from esker.realise.conda.contents import Contents, Item
    from esker.store.listing import Listing
    from esker.store.store import Store

__all__ = ["Unpacked", "is_as_made", "unpacked_packages"]

RECIPE = 1
"""Increase it whenever the same archive would give a different tree."""
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
    suspicious: bool = False,
) -> tuple[Unpacked, ...]:
    """Return the packages in their order, fetching those that are missing.

    If `suspicious`, one that has a file with another size, time or mode than it was made with is fetched again.
    `client` is called once something has to be fetched. No package may have more than `largest` bytes. Raises
    RealisationFailed, HostError and StoreError.
    """
    keys = {package.sha256: _key(package) for package in packages}
    unpacked: dict[str, Unpacked] = {}
    for package in packages:
        path = store.path(*keys[package.sha256])
        if store.is_valid(path):
            found = _read(package, path, suspicious=suspicious)
            if found is None:
                store.invalidate(path)
            else:
                unpacked[package.sha256] = found
    missing = {store.path(*keys[each.sha256]): each for each in packages if each.sha256 not in unpacked}

    def fill(directories: Mapping[str, str]) -> dict[str, Listing]:
        chosen = {directory: missing[path] for path, directory in directories.items()}
        with reporting(progress):
            _make(chosen, client, progress, largest)
        listings = {}
        for path, directory in directories.items():
            brought, listings[path] = prepared(directory, missing[path])
            unpacked[missing[path].sha256] = Unpacked(missing[path], path, brought)
        return listings

    store.build_all([keys[each.sha256] for each in missing.values()], fill)
    for path, package in missing.items():
        if package.sha256 not in unpacked:  # another process has made it
            found = _read(package, path, suspicious=False)
            if found is None:
                raise altered(path)
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
    from esker.realise.conda.fetching import fetch  # it loads asyncio

    size = sum(package.size or 0 for package in packages.values())
    amount = counted(len(packages), "conda package")
    amount += f" ({size / _MEGABYTE:.1f} MB)" if size else ""
    progress.begin(f"Fetching {amount}", total=len(packages))
    fetch(packages, client(), progress, largest=largest)
    progress.finish(amount)


def is_as_made(path: str, item: Item) -> bool:
    """Return whether the file at `path` has the size, time and mode with which it was made."""
    status = os.lstat(path)
    mode = stat.S_IFREG | (0o555 if item.kind == PROGRAM else 0o444)
    return (status.st_mode, status.st_size, status.st_mtime_ns) == (mode, item.size, _TIME)


def _read(package: LockedCondaPackage, path: str, *, suspicious: bool) -> Unpacked | None:
    """Return a package that lies in the store, or None if it is not as it was made."""
    try:
        found = contents.parse(files.read(f"{path}/{contents.FILE_NAME}", error=StoreError))
        if suspicious:
            for place, item in found.items.items():
                if item.kind != LINK and not is_as_made(f"{path}/{place}", item):
                    return None
    except (StoreError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Unpacked(package, path, found)
