"""The C library of an image: conda's package `sysroot_linux-*`, and what programs ask of it.

A program names its loader by an absolute path, which the ABI of the system fixes. The loader then looks for
`libc.so.6` in directories that are built into it: with the loader alone in its place, nothing starts. So each library
directory of the package's tree is linked at the place that it has in that tree.
"""

from __future__ import annotations

import mmap
import os
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.formats import elf
from esker.formats.elf import LOADERS
from esker.formats.elf_versions import needs
from esker.ship.content.places import CONDA, between
from esker.store.listing import LINK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.formats.elf_versions import Needs
    from esker.realise.conda.plan import Place
    from esker.ship.content.conda import CondaContent

__all__ = ["CLibrary", "Program", "c_library", "check_programs", "elf_needs"]

_PACKAGES = {"x86_64-linux": "sysroot_linux-64", "aarch64-linux": "sysroot_linux-aarch64"}
_DIRECTORIES = ("lib", "lib64", "usr/lib", "usr/lib64")
_ROOT = re.compile(r"[^/]+/sysroot/")
_MOST_LINKS = 40


class CLibrary(NamedTuple):
    """A C library of an image."""

    origin: str
    """What a person reads of where it comes from."""
    version: tuple[int, int]
    links: Mapping[str, str]
    """The links that lead to it, by their absolute paths in the image."""
    is_of_base: bool = False


class Program(NamedTuple):
    """A file of the image that may be ELF."""

    unit: str
    place: str
    """Where it is in the image."""
    source: str
    """Where it lies on this machine."""


def c_library(content: CondaContent | None, system: str) -> CLibrary | None:
    """Return the C library that a locked conda package brings, or None; raises ImageError for one without a loader."""
    for unpacked in content.packages if content else ():
        package = unpacked.package
        if content is None or package.name != _PACKAGES[system]:
            continue
        places = content.plan.places
        root = next((match[0] for path in places if (match := _ROOT.match(path))), "")
        directories = [name for name in _DIRECTORIES if any(path.startswith(f"{root}{name}/") for path in places)]
        links = {f"/{name}": between(f"/{name}", f"{CONDA}/{root}{name}") for name in directories}
        loader = LOADERS[system]
        if _followed(places, f"{root}{loader}") is None:
            raise ImageError(
                f"`{package.title}` has no loader `{loader}`, so that no program could start",
                hint="take another version of it: esker install conda/" + package.name,
            )
        major, _, minor = package.version.partition(".")
        version = int(major), int(re.match(r"\d*", minor)[0] or 0)  # type: ignore[index]  # it matches always
        return CLibrary(f"conda/{package.name} {package.version}", version, links)
    return None


def _followed(places: Mapping[str, Place], path: str) -> Place | None:
    """Return the file that a path of the prefix leads to through links, or None."""
    for _ in range(_MOST_LINKS):
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            place = places.get("/".join(parts[:depth]))
            if place is not None and place.item.kind == LINK:
                above = posixpath.join(*parts[: depth - 1], place.item.value)
                path = posixpath.normpath(posixpath.join(above, *parts[depth:]))
                break
        else:
            return places.get(path)
    return None


def check_programs(
    programs: Iterable[Program],
    system: str,
    library: CLibrary | None,
    required: tuple[int, int] | None,
    lacking: str = "",
) -> None:
    """Check each ELF file: it is for the image's system, and the C library has what it asks for.

    `required` is the version in `system-requirements`, `lacking` what a message says of a base without glibc. Raises
    ImageError, which names the file.
    """
    if library is not None and required is not None and library.version < required:
        raise ImageError(
            f"the image's C library is {_text(library.version)} ({library.origin}), and `system-requirements` of "
            f"[plugins.esker.conda] states libc {_text(required)}",
            hint=_newer(library, system, required),
        )
    machine = elf.MACHINES[system.partition("-")[0]]
    for program in programs:
        found = elf_needs(program.source)
        if found is None:
            continue
        if found.machine != machine:
            raise ImageError(
                f"`{program.place}` of {program.unit} is not for {system}",
                hint="take that package out, or another version of it",
            )
        if library is None and found.is_dynamic:
            raise ImageError(
                f"`{program.place}` of {program.unit} needs a C library, and {lacking or 'the image has none'}",
                hint="take a base that has glibc (`from` of [plugins.esker.image])"
                if lacking
                else f"take conda's: esker install conda/{_PACKAGES[system]}; or a base that has glibc",
            )
        if library is not None and found.glibc is not None and found.glibc > library.version:
            raise ImageError(
                f"`{program.place}` of {program.unit} needs glibc {_text(found.glibc)}, and the image has "
                f"{_text(library.version)} ({library.origin})",
                hint=f"{_newer(library, system, found.glibc)}, or for an older package",
            )


def _newer(library: CLibrary, system: str, version: tuple[int, int]) -> str:
    if library.is_of_base:
        return f"take a newer base, with glibc {_text(version)} or later"
    return f'ask for a newer one: "{_PACKAGES[system]} >={_text(version)}"'


def elf_needs(path: str) -> Needs | None:
    """Return what a file asks for, or None if it is no ELF file that we can read."""
    with open(path, "rb") as file:
        if file.read(4) != elf.MAGIC or os.fstat(file.fileno()).st_size < 64:  # noqa: PLR2004  # a header's size
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return needs(data)


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
