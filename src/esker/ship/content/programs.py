"""The files of an image that may be ELF: programs, and what is named like a library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.host import trees
from esker.ship.content.c_library import Program
from esker.ship.content.places import CONDA, INTERPRETER, PYTHON
from esker.store.listing import LINK, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.ship.content.conda import CondaContent
    from esker.ship.content.python_packages import PythonPackages
    from esker.ship.content.standalone import Standalone

__all__ = ["programs_of"]

_LIBRARY = re.compile(r"\.so(\.[\w.]+)?$")
_C_LIBRARY = "sysroot_"


def programs_of(
    conda: CondaContent | None, packages: PythonPackages | None, interpreter: Standalone | None
) -> Iterator[Program]:
    """Yield the files that may be ELF, without looking into them; those of the C library itself are left out."""
    if conda is not None:
        yield from _of_conda(conda)
    if interpreter is not None:
        for path in trees.files_below(interpreter.path):
            if path.startswith("bin/") or _LIBRARY.search(path):
                yield Program("esker/python", f"{INTERPRETER}/{path}", f"{interpreter.path}/{path}")
    for content in (packages.content, packages.own) if packages else ():
        for wheel, files in zip(content.wheels, content.files, strict=True):
            for path in files:
                if "bin/" in path or _LIBRARY.search(path):
                    yield Program(f"pypi/{wheel.name}", f"{PYTHON}/{path}", f"{wheel.path}/{path}")


def _of_conda(conda: CondaContent) -> Iterator[Program]:
    for path, place in conda.plan.places.items():
        if place.item.kind == LINK or place.content is not None:
            continue
        owner = conda.packages[place.owner]
        if (place.item.kind == PROGRAM or _LIBRARY.search(path)) and not owner.package.name.startswith(_C_LIBRARY):
            yield Program(f"conda/{owner.package.name}", f"{CONDA}/{path}", f"{owner.path}/{place.source}")
