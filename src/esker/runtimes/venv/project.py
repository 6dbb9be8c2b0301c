"""What a Python project without a manifest declares: its Python, and how uv fills its virtual environment.

The first of these counts:

- `uv.lock`, beside a `pyproject.toml`: what it locks (`uv sync --frozen`), unless it is older than what is declared;
- `pyproject.toml` with a `[build-system]`, or `setup.py`: the project itself, editable, with its dependencies, and the
  group `dev` if there is one; beside a `setup.py`, also `requirements.txt`;
- `pyproject.toml` with a `[project]` alone: its dependencies and the group `dev`, as uv treats a project that is no package;
- `requirements.txt`.

A `pyproject.toml` that has neither table only configures tools. The Python is that of `.python-version` or
`.tool-versions`, and one that `requires-python` allows.

A member of a uv workspace has the virtual environment and the `uv.lock` of the workspace's root, as with uv itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare.adopt import found_in
from esker.errors import InvalidFile
from esker.runtimes.venv.locked import locked_projects, pyproject
from esker.runtimes.venv.requirements import PROJECT_FILES, deciding_files
from esker.runtimes.venv.workspace import is_member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.declare.adopt.found import Found

__all__ = ["PythonProject", "python_project"]

_PYTHONS = (".python-version", "mise.toml", ".mise.toml", ".tool-versions")
_ALSO = ("uv.lock", "uv.toml", *_PYTHONS)
_GROUP = "dev"


class PythonProject(NamedTuple):
    """A Python project."""

    directory: str
    """Absolute, with links resolved."""
    root: str
    """The directory of the uv workspace that it is a member of; without one its own."""
    asked: tuple[tuple[str, str], ...]
    """What the Python has to be: files, absolute, and the specifier of PEP 440 that each of them asks for."""
    source: str
    """The name of the file that says what is installed; empty if nothing is."""
    install: tuple[str, ...]
    """The arguments of `uv pip install`; empty if `uv sync` installs, or if there is nothing to install."""
    is_locked: bool = False
    """Whether `uv sync` installs what `uv.lock` says."""
    is_shared: bool = False
    """Whether the virtual environment is that of a workspace, so that it may have what other members need."""
    remarks: tuple[str, ...] = ()
    """What a person should know: which files ask for a Python in words that mean none."""
    above: tuple[str, ...] = ()
    """Every pyproject.toml above that decides, or would if it were there, whether it is a member of a workspace."""

    @property
    def venv(self) -> str:
        """The path of its virtual environment."""
        return f"{self.root}/.venv"

    @property
    def python(self) -> str:
        """A specifier of PEP 440; empty if every Python will do."""
        return ",".join(specifier for _, specifier in self.asked)

    @property
    def wanted(self) -> str:
        """How a message names the Python: with the specifiers, and the files that ask for them."""
        asked = [f"`{specifier}` ({os.path.relpath(file, self.directory)})" for file, specifier in self.asked]
        return " and ".join(["a Python", *asked]).replace(" and ", " for ", 1)

    @property
    def deciding(self) -> list[str]:
        """Every file that decides what it declares (absolute); some need not exist."""
        others = locked_projects(self.root) if self.is_locked else ()
        directories = dict.fromkeys((self.directory, self.root))
        names = dict.fromkeys((*PROJECT_FILES, *_ALSO))
        paths = [f"{directory}/{name}" for directory in directories for name in names]
        paths += [f"{directory}/{name}" for directory in others for name in PROJECT_FILES]
        return [*paths, *self.above, *deciding_files([f"{self.directory}/requirements.txt"])]


def python_project(directory: str) -> PythonProject:
    """Return what the project in `directory` declares; raises InvalidFile for a broken pyproject.toml."""
    table = pyproject(f"{directory}/pyproject.toml")
    above = _above(directory) if table else ()
    outer = _outer(directory, table, above)
    root = directory if outer is None else os.path.dirname(above[-1])
    asked, remarks = list[tuple[str, str]](), list[str]()
    for place in dict.fromkeys((directory, root)):
        founds = {found.file: found for found in found_in(place) if found.file in _PYTHONS}
        remarks += [f"{place}/{text}" for found in founds.values() for text in _not_followed(found)]
        if not asked:  # of two version files the nearest counts
            named = [(f"{place}/{name}", founds[name].python) for name in _PYTHONS if name in founds]
            asked += [(file, specifier) for file, specifier in named if specifier][:1]
    for place, each in {directory: table, root: outer or table}.items():
        project = each.get("project")
        required = project.get("requires-python") if isinstance(project, dict) else None
        if isinstance(required, str) and required:
            asked.append((f"{place}/pyproject.toml", required))
    is_shared = root != directory or _table(table, "tool", "uv", "workspace") is not None
    source, install, is_locked = _way(directory, root, table)
    if not source and os.path.exists(f"{directory}/pyproject.toml"):
        poetry = _table(table, "tool", "poetry") is not None
        what = "declares its dependencies for Poetry alone" if poetry else "only configures tools"
        remarks.append(f"`{directory}/pyproject.toml` {what}: it has no [project], so nothing is installed")
    return PythonProject(directory, root, tuple(asked), source, install, is_locked, is_shared, tuple(remarks), above)


def _not_followed(found: Found) -> Iterator[str]:
    """Yield why what a version file says of Python is not followed."""
    for line in found.left_out:
        place, _, reason = line.partition(" is left out: ")
        if place == found.file:  # the file as a whole
            yield f"{place} is not followed: {reason}"
        elif found.file == ".python-version" or ": `python" in place:
            yield f"{place} is not followed: it names no version of CPython"


def _above(directory: str) -> tuple[str, ...]:
    """Return the paths of the pyproject.toml in each directory above, up to the first that is there."""
    paths: list[str] = []
    while directory != os.path.dirname(directory) and not (paths and os.path.exists(paths[-1])):
        directory = os.path.dirname(directory)
        paths.append(f"{directory.rstrip('/')}/pyproject.toml")
    return tuple(paths)


def _outer(directory: str, table: dict[str, Any], above: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the pyproject.toml of the uv workspace that a project is a member of; None if it is none.

    As for uv, the nearest pyproject.toml above decides.
    """
    if not above or _table(table, "tool", "uv", "workspace") is not None:
        return None
    try:
        outer = pyproject(above[-1])
    except InvalidFile:  # of somebody else, perhaps
        return None
    workspace = _table(outer, "tool", "uv", "workspace")
    if workspace is None or not is_member(os.path.relpath(directory, os.path.dirname(above[-1])), workspace):
        return None
    return outer


def _table(table: dict[str, Any], *names: str) -> dict[str, Any] | None:
    """Return the table at a path in another one; None if there is none."""
    found: Any = table
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _way(directory: str, root: str, table: dict[str, Any]) -> tuple[str, tuple[str, ...], bool]:
    """Return the file that says what is installed, the arguments of `uv pip install`, and whether uv syncs instead."""

    def has(name: str) -> bool:
        return os.path.exists(f"{directory}/{name}")

    if has("pyproject.toml") and os.path.exists(f"{root}/uv.lock"):
        return "uv.lock", (), True
    groups = table.get("dependency-groups")
    group = ("--group", _GROUP) if isinstance(groups, dict) and _GROUP in groups else ()
    listed = ("-r", "requirements.txt") if has("requirements.txt") else ()
    if has("setup.py"):
        return "setup.py", (*listed, *group, "--editable", "."), False
    if "build-system" in table and _is_package(table):
        return "pyproject.toml", (*group, "--editable", "."), False
    if "project" in table:
        return "pyproject.toml", ("-r", "pyproject.toml", *group), False
    return ("requirements.txt" if listed else "", listed, False)


def _is_package(table: dict[str, Any]) -> bool:
    return (_table(table, "tool", "uv") or {}).get("package") is not False
