"""The C library of a base: where its loader leads, and what version its file says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.formats import elf
from esker.formats.elf import LOADERS
from esker.formats.oci.tar_reader import FILE
from esker.ship.base.facts import BaseLibrary

if TYPE_CHECKING:
    from esker.ship.base.tree import BaseTree

__all__ = ["glibc_places", "glibc_version", "library_of"]

_VERSION = re.compile(rb"GNU C Library [^\0\n]{0,200}release version (\d{1,3})\.(\d{1,3})")
_MUSL = {"x86_64-linux": "/lib/ld-musl-x86_64.so.1", "aarch64-linux": "/lib/ld-musl-aarch64.so.1"}
_TRIPLETS = {"x86_64-linux": "x86_64-linux-gnu", "aarch64-linux": "aarch64-linux-gnu"}


def glibc_places(tree: BaseTree, system: str) -> list[str]:
    """Return the path of the file of glibc that a base's loader loads; none if it has no loader of glibc."""
    loader, node = tree.find(f"/{LOADERS[system]}")
    if node is None or node.kind != FILE:
        return []
    directories = (
        *(loader.rpartition("/")[0], f"/lib/{_TRIPLETS[system]}", f"/usr/lib/{_TRIPLETS[system]}"),
        *("/lib64", "/usr/lib64", "/lib", "/usr/lib"),
    )
    for directory in directories:
        place, node = tree.find(f"{directory}/libc.so.6")
        if node is not None and node.kind == FILE:
            return [place]
    return []


def library_of(tree: BaseTree, system: str, contents: dict[str, bytes]) -> BaseLibrary | None:
    """Return the C library of a base, whose file is among `contents`, or None if it has none for the system."""
    for place in glibc_places(tree, system):
        version = glibc_version(contents[place], system)
        if version is not None:
            return BaseLibrary("glibc", place, version)
    musl, node = tree.find(_MUSL[system])
    return BaseLibrary("musl", musl, (0, 0)) if node is not None else None


def glibc_version(data: bytes, system: str) -> tuple[int, int] | None:
    """Return the version that a file of glibc says, or None if it is none, or none of the system's."""
    parsed = elf.parse(data)
    match = _VERSION.search(data)
    if parsed is None or parsed.machine != elf.MACHINES[system.partition("-")[0]] or match is None:
        return None
    return int(match[1]), int(match[2])
