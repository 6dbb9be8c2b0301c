"""The Python environment of an image, and `FLOX_ENV`, which joins it and the conda packages by links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.ship.content.joined import JoinedTree, joined
from esker.ship.content.places import CONDA, ENVIRONMENT, PYTHON, between
from esker.ship.content.python import python_environment
from esker.ship.image.unit import SymbolicLink

if TYPE_CHECKING:
    from esker.ship.content.conda import CondaContent
    from esker.ship.content.python import ImagePython
    from esker.ship.content.python_packages import PythonPackages
    from esker.ship.image.unit import Entry

__all__ = ["environment_entries"]


def environment_entries(
    conda: CondaContent | None, python: ImagePython | None, packages: PythonPackages | None
) -> tuple[list[Entry], set[str]]:
    """Return the entries of the Python environment and of `FLOX_ENV`, and the paths that are joined in it."""
    entries: list[Entry] = []
    trees: list[JoinedTree] = []
    hidden = {"conda-meta"}
    if conda is not None:
        library = f"lib/python{python.minor}/" if python else "lib/python/"
        chosen = [
            path
            for path, place in conda.plan.places.items()
            if path.partition("/")[0] not in hidden
            and not (python is not None and (path.startswith(library) or _is_pythons(path, place.content)))
        ]
        trees.append(JoinedTree(CONDA, chosen))
    if python is not None and packages is not None:
        files = packages.paths()
        made = python_environment(python, files, packages.source)
        entries += made
        trees.append(JoinedTree(PYTHON, [*files, *(entry.path.removeprefix(f"{PYTHON}/") for entry in made)]))
    links = dict(joined(trees))
    for program, place in packages.programs.items() if packages else ():
        links[f"bin/{program}"] = place
    for path, target in links.items():
        place = f"{ENVIRONMENT}/{path}"
        entries.append(SymbolicLink(place, between(place, target)))
    return entries, {path for tree in trees for path in tree.paths}


def _is_pythons(path: str, content: bytes | None) -> bool:
    """Return whether a path of conda's is a Python, or a command that conda's Python runs, beside wheels."""
    if not path.startswith("bin/"):
        return False
    is_python = re.fullmatch(r"bin/(python[0-9.]*(-config)?|pip[0-9.]*)", path) is not None
    return is_python or (content is not None and b"python" in content[:128])
