"""Libraries that wheels take from the system, in an image whose system is conda's packages.

A wheel brings its libraries with it, except those that every system is said to have (PEP 600). On a laptop the loader
finds them in its own directories. In an image without a base those have the C library alone, and the libraries lie in
conda's prefix, where programs of a wheel do not look. So a link beside the C library leads to each of them.

Only libraries that need no others are linked. X11, GL and GLib need some that only conda's own programs find.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.ship.content.c_library import elf_needs
from esker.ship.content.places import CONDA, PYTHON, between
from esker.ship.image.unit import SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.realise.conda.plan import Place
    from esker.ship.content.c_library import CLibrary, Program
    from esker.ship.content.conda import CondaContent

__all__ = ["LIBRARIES", "system_libraries"]

LIBRARIES = {
    "libatomic.so.1": "libgcc",
    "libexpat.so.1": "libexpat",
    "libgcc_s.so.1": "libgcc",
    "libstdc++.so.6": "libstdcxx",
    "libz.so.1": "zlib",
}
"""The conda package of each library."""
_C_LIBRARY = "libc.so.6"


class _Wheels(NamedTuple):
    """What the programs of wheels ask for."""

    asking: Mapping[str, Program]
    """For each library, the first program that needs it."""
    brought: frozenset[tuple[str, str]]
    """Wheels with the names of their files."""


def system_libraries(
    content: CondaContent | None, library: CLibrary | None, programs: Iterable[Program]
) -> list[SymbolicLink]:
    """Return the links that the programs of wheels need; raises ImageError for a library that the image lacks.

    Where the C library is not conda's, whoever made it has its own.
    """
    places = content.plan.places if content and library and library.origin.startswith("conda/") else {}
    beside = next((path for path in sorted(places) if "/sysroot/" in path and path.endswith(f"/{_C_LIBRARY}")), None)
    if beside is None:
        return []
    wheels = _wheels(programs)
    return [
        SymbolicLink(place, between(place, f"{CONDA}/{target}"))
        for name, program in sorted(wheels.asking.items())
        if (program.unit, name) not in wheels.brought and not _in_sysroot(places, name)
        for target in [_target(places, name, program)]
        for place in [f"{CONDA}/{os.path.dirname(beside)}/{name}"]
    ]


def _wheels(programs: Iterable[Program]) -> _Wheels:
    asking: dict[str, Program] = {}
    brought = set()
    for program in programs:
        if not program.place.startswith(f"{PYTHON}/"):
            continue
        brought.add((program.unit, os.path.basename(program.place)))
        for name in _asked(program):
            asking.setdefault(name, program)
    return _Wheels(asking, frozenset(brought))


def _asked(program: Program) -> Iterator[str]:
    needed = elf_needs(program.source)
    for library in needed.libraries if needed else ():
        if library in LIBRARIES:
            yield library


def _in_sysroot(places: Mapping[str, Place], library: str) -> bool:
    return any("/sysroot/" in path and path.endswith(f"/{library}") for path in places)


def _target(places: Mapping[str, Place], library: str, program: Program) -> str:
    if f"lib/{library}" not in places:
        raise ImageError(
            f"`{program.place}` of {program.unit} needs `{library}`, which wheels take from the system, and the image "
            "has none",
            hint=f"take conda's: esker install conda/{LIBRARIES[library]}",
        )
    return f"lib/{library}"
