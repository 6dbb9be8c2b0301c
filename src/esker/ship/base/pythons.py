"""The Python of a base: that the stated program is one, for the system, and which version it is, by its files alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.errors import ImageError
from esker.formats import elf
from esker.formats.oci.tar_reader import FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.ship.base.tree import BaseTree

__all__ = ["python_places", "python_version"]

_NAME = re.compile(r"python(3\.\d{1,2})")
_PATCHLEVEL = re.compile(rb'#define\s+PY_VERSION\s+"(3\.\d{1,2}\.\d{1,3})')
_LIBRARIES = ("lib", "lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu")


def python_places(tree: BaseTree, stated: str) -> list[str]:
    """Return the files in which the version is looked for; raises ImageError if the program is not there."""
    program, node = tree.find(stated)
    if node is None:
        raise _error(f"the base has no `{stated}`, which `python` of [plugins.esker.image] states")
    if not tree.is_program(stated):
        raise _error(f"`{stated}` of the base is no program")
    prefix, minor = _prefix(program), _minor(tree, program)
    candidates = [
        f"{prefix}/include/python{minor}/patchlevel.h",
        *(f"{prefix}/{each}/libpython{minor}.so.1.0" for each in _LIBRARIES),
    ]
    found = [tree.find(each) for each in candidates]
    return [program, *(place for place, node in found if node is not None and node.kind == FILE)]


def python_version(tree: BaseTree, stated: str, system: str, contents: Mapping[str, bytes]) -> str:
    """Return the whole version of the stated program, such as `3.11.2`; raises ImageError if it is no Python."""
    places = python_places(tree, stated)
    parsed = elf.parse(contents[places[0]])
    if parsed is None:
        raise _error(f"`{stated}` of the base is no program of its own, but a script or something else")
    if parsed.machine != elf.MACHINES[system.partition("-")[0]]:
        raise _error(f"`{stated}` of the base is not for {system}")
    minor = _minor(tree, places[0])
    if not _libraries(tree, places[0], minor):
        raise _error(f"`{stated}` of the base is a Python {minor} without its standard library")
    pattern = re.compile(rb"\0(" + re.escape(minor.encode()) + rb"\.\d{1,3})(?:(?:a|b|rc)\d{1,2})?\+?\0")
    for place in places:
        match = (_PATCHLEVEL if place.endswith(".h") else pattern).search(contents[place])
        if match is not None and match[1].decode().startswith(f"{minor}."):
            return match[1].decode()
    raise _error(f"the version of `{stated}` of the base is not to be learned from its files")


def _minor(tree: BaseTree, program: str) -> str:
    """Return major and minor version, by the name of the program or the one standard library beside it."""
    if match := _NAME.match(program.rpartition("/")[2]):
        return match[1]
    form = re.compile(re.escape(_prefix(program)) + r"/lib(?:64)?/python(3\.\d{1,2})/os\.py")
    found = {match[1] for path in tree.nodes if (match := form.fullmatch(path))}
    if len(found) != 1:
        raise _error(
            f"which Python `{program}` of the base is does not show: {len(found)} standard libraries lie beside it"
        )
    return found.pop()


def _libraries(tree: BaseTree, program: str, minor: str) -> bool:
    prefix = _prefix(program)
    return any(tree.find(f"{prefix}/{each}/python{minor}/os.py")[1] is not None for each in ("lib", "lib64"))


def _prefix(program: str) -> str:
    """Return the directory above the directory that a program is in."""
    return program.rpartition("/")[0].rpartition("/")[0]


def _error(message: str) -> ImageError:
    return ImageError(
        message,
        hint='state the base\'s own Python, as in python = "/usr/bin/python3.11"; or leave `python` out, and take '
        "conda's (esker install conda/python) or one of uv's",
    )
