"""Conda packages in an image: each is one unit, linked for the constant prefix by the same plan as on this machine.

Nothing of a package is run, so that packages of another system can be in an image too. The modules of pure Python
packages, and those that name the prefix, are compiled by an interpreter of this machine that writes the same byte code.
"""

from __future__ import annotations

import json
import os
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.host import trees
from esker.host.scratch import scratch
from esker.realise.byte_code import compile_modules
from esker.realise.conda import python as conda_python
from esker.realise.conda.packages import is_as_made
from esker.realise.conda.placeholders import replaced
from esker.realise.conda.plan import plan
from esker.realise.conda.prefix import metadata
from esker.ship.content.places import CONDA
from esker.ship.image.unit import Directory, File, SymbolicLink, Unit
from esker.store.listing import LINK, PROGRAM, altered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.realise.conda.packages import Unpacked
    from esker.realise.conda.plan import Place, Plan
    from esker.realise.conda.python import CondaPython
    from esker.ship.content.compiler import Compiler
    from esker.ship.image.unit import Entry

__all__ = ["CondaContent", "conda_content"]

RECIPE = 1
"""Increase it whenever the same packages would give other bytes."""


class CondaContent(NamedTuple):
    """The conda packages of one system, laid out for an image."""

    packages: tuple[Unpacked, ...]
    plan: Plan
    python: CondaPython | None

    def place(self, path: str) -> Place | None:
        """Return what lies at a path of the prefix, or None."""
        return self.plan.places.get(path)

    def units(self, compiler: Compiler | None) -> tuple[Unit, ...]:
        """Return the packages as units; modules are compiled unless `compiler` is None."""
        own: list[dict[str, Place]] = [{} for _ in self.packages]
        for path, place in self.plan.places.items():
            own[place.owner][path] = place
        records = metadata(self.plan, self.packages)
        units = []
        for owner, unpacked in enumerate(self.packages):
            package = unpacked.package
            record = f"conda-meta/{package.title}.json"
            modules = _uncompiled(own[owner], unpacked) if compiler else {}
            # What another package brings instead of this one, and what only a Python decides, is in the record's bytes.
            key = [RECIPE, CONDA, package.sha256, sha256(records[record]).hexdigest()]
            key += [self.python.release if self.python and package.name == "python" else None]
            key += [compiler.key if compiler and modules else None]
            units.append(
                Unit(
                    name=f"conda/{package.name}",
                    key=sha256(json.dumps(key).encode()).hexdigest(),
                    size=sum(place.item.size for place in own[owner].values()),
                    entries=partial(_entries, unpacked, own[owner], {record: records[record]}, modules, compiler),
                    version=package.version,
                )
            )
        return tuple(units)


def conda_content(packages: Sequence[Unpacked]) -> CondaContent:
    """Lay out unpacked packages, which are all for one system; raises RealisationFailed as `plan` does."""
    python = conda_python.find(packages)
    return CondaContent(tuple(packages), plan(packages, python, CONDA), python)


def _uncompiled(places: Mapping[str, Place], unpacked: Unpacked) -> dict[str, Place]:
    """Return the modules that come without byte code that holds in this prefix."""
    return {
        path: place
        for path, place in places.items()
        if path.endswith(".py")
        and path.startswith("lib/python")
        and place.item.kind != LINK
        and (unpacked.contents.is_python or place.item.placeholder is not None)
    }


def _entries(
    unpacked: Unpacked,
    places: Mapping[str, Place],
    records: Mapping[str, bytes],
    modules: Mapping[str, Place],
    compiler: Compiler | None,
) -> Iterator[Entry]:
    compiled = _compiled(unpacked, modules, compiler) if compiler and modules else {}
    for path, place in places.items():
        if path in compiled or path in records:
            continue
        if place.item.kind == LINK:
            yield SymbolicLink(f"{CONDA}/{path}", place.item.value)
        else:
            yield File(f"{CONDA}/{path}", _source(unpacked, place), 0o755 if place.item.kind == PROGRAM else 0o644)
    for path, content in {**compiled, **records}.items():
        yield File(f"{CONDA}/{path}", content)
    for path in unpacked.contents.directories:
        yield Directory(f"{CONDA}/{path}")


def _source(unpacked: Unpacked, place: Place) -> str | bytes:
    """Return where the content of a file lies, or the content if it is another than the package's."""
    if place.content is not None:
        return place.content
    path = f"{unpacked.path}/{place.source}"
    try:
        is_whole = is_as_made(path, place.item)
    except FileNotFoundError:
        is_whole = False
    if not is_whole:
        raise altered(path)
    if place.item.placeholder is None:
        return path
    with open(path, "rb") as file:
        return replaced(file.read(), place.item.placeholder, CONDA)


def _compiled(unpacked: Unpacked, modules: Mapping[str, Place], compiler: Compiler) -> dict[str, bytes]:
    """Return the byte code of modules, by path in the prefix; the sources' own paths are in it, relative to it."""
    with scratch("byte-code") as above:
        for path, place in modules.items():
            target, source = f"{above}/{path}", _source(unpacked, place)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if isinstance(source, str):
                os.symlink(source, target)
            else:
                with open(target, "xb") as file:
                    file.write(source)
        compile_modules([above], compiler.executable, compiler.variables)
        found = {}
        for path in trees.files_below(above):
            if path.endswith(".pyc"):
                with open(f"{above}/{path}", "rb") as file:
                    found[path] = file.read()
        return found
