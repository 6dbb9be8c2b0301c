"""Small images for tests: units of a few files, and all that a builder needs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from esker.formats.oci.configuration import Configuration
from esker.formats.oci.layer_names import APPLICATION, CONFIGURATION
from esker.formats.oci.platform import Platform
from esker.ship.image.blobs import Blobs
from esker.ship.image.codec import codec
from esker.ship.image.image import Builder
from esker.ship.image.unit import Directory, Entry, File, HardLink, SymbolicLink, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.ship.image.image import Base, Image

__all__ = ["AMD64", "ARM64", "Listed", "builder", "image", "tree_unit", "unit", "units"]

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
_MIB = 1 << 20


class Listed:
    """Entries that are counted when somebody lists them."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self.times = 0

    def __call__(self) -> tuple[Entry, ...]:
        """Return the entries."""
        self.times += 1
        return self.entries


def unit(name: str, *entries: Entry, category: str = "", size: int = 0, version: str = "1") -> Unit:
    """Return a unit of these entries, whose key follows from them."""
    key = hashlib.sha256(repr(entries).encode()).hexdigest()
    return Unit(name, key, size, Listed(entries), category, version)


def units(mark: str = "", version: str = "1") -> list[Unit]:
    """Return a package for each kind of layer; the package `tool` depends on `mark`."""
    place = "/opt/esker"
    tool = (
        Directory(f"{place}/tool/empty", 0o700, 5, 6),
        File(f"{place}/tool/bin/tool", f"#!/bin/sh\necho {mark}\n".encode(), 0o755),
        HardLink(f"{place}/tool/bin/again", f"{place}/tool/bin/tool"),
        SymbolicLink(f"{place}/bin/tool", "../tool/bin/tool"),
    )
    return [
        unit("conda/base", File(f"{place}/base/data", b"base " * 20000), category="base", size=5 * _MIB),
        unit("conda/tool", *tool, size=6 * _MIB, version=version),
        unit("conda/small", File(f"{place}/small/{'n' * 120}", b"small")),
        unit("wheel/ümlaut", File(f"{place}/wheel/ümlaut.py", b"x = 1\n")),
        unit("files", File("/etc/motd", b"hello\n"), Directory("/tmp", 0o1777), category=CONFIGURATION),
        unit("app", File("/app/main.py", b"print()\n", uid=1000, gid=1000), category=APPLICATION),
    ]


def tree_unit(name: str, directory: Path, place: str, *, category: str = "", version: str = "1") -> Unit:
    """Return a unit of a directory of this machine; its key says nothing of the content, as a package's hash does."""
    size = sum(each.stat().st_size for each in directory.rglob("*") if each.is_file() and not each.is_symlink())

    def entries() -> list[Entry]:
        listed: list[Entry] = []
        for each in directory.rglob("*"):
            path = f"{place}/{each.relative_to(directory)}"
            if each.is_symlink():
                listed.append(SymbolicLink(path, str(each.readlink())))
            elif each.is_dir():
                listed.append(Directory(path))
            else:
                listed.append(File(path, str(each), 0o755 if each.stat().st_mode & 0o100 else 0o644))
        return listed

    return Unit(name, f"{name} {version} {place}", size, entries, category, version)


def builder(directory: Path, name: str = "gzip", **fields: object) -> Builder:
    """Return a builder whose blobs lie below a directory."""
    return Builder(Blobs(str(directory)), codec(name), **fields)  # type: ignore[arg-type]


def image(
    made: Builder,
    its_units: Sequence[Unit] | None = None,
    platform: Platform = AMD64,
    *,
    base: Base | None = None,
    configuration: Configuration | None = None,
) -> Image:
    """Return an image, by default of all `units`."""
    return made.image(
        units() if its_units is None else its_units,
        configuration or Configuration(env={"PATH": "/opt/esker/bin"}, cmd=("tool",)),
        platform,
        explicit=("base",),
        base=base,
    )
