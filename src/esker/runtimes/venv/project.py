"""What a Python project without a manifest declares: its Python, and how uv fills its virtual environment.

The first of these counts:

- `uv.lock`, beside a `pyproject.toml`: what it locks (`uv sync --frozen`);
- `pyproject.toml` with a `[build-system]`, or `setup.py`: the project itself, editable, with its dependencies, and the
  group `dev` if there is one; beside a `setup.py`, also `requirements.txt`;
- `pyproject.toml` with a `[project]` alone: its dependencies and the group `dev`, as uv treats a project that is no package;
- `requirements.txt`.

A `pyproject.toml` that has neither table only configures tools. The Python is that of `.python-version` or
`.tool-versions`, and one that `requires-python` allows.
"""

from __future__ import annotations

import os
from tomllib import TOMLDecodeError
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare.adopt import found_in
from esker.errors import InvalidFile, Problem
from esker.formats.syntax import syntax_problem
from esker.formats.untrusted import LARGEST_MANIFEST, toml_table
from esker.host import files
from esker.runtimes.venv.requirements import PROJECT_FILES, deciding_files

__all__ = ["PythonProject", "deciding", "python_project"]

_ALSO = ("uv.lock", "uv.toml", ".python-version", ".tool-versions")
_PYTHONS = (".python-version", ".tool-versions")
_GROUP = "dev"


class PythonProject(NamedTuple):
    """A Python project."""

    directory: str
    """Absolute, with links resolved."""
    python: str
    """A specifier of PEP 440; empty if every Python will do."""
    source: str
    """The name of the file that says what is installed; empty if nothing is."""
    install: tuple[str, ...]
    """The arguments of `uv pip install`; empty if `uv sync` installs, or if there is nothing to install."""
    is_locked: bool = False
    """Whether `uv sync` installs what `uv.lock` says."""

    @property
    def venv(self) -> str:
        """The path of its virtual environment."""
        return f"{self.directory}/.venv"


def deciding(directory: str) -> list[str]:
    """Return every file that decides what a project declares (absolute); some need not exist."""
    names = [f"{directory}/{name}" for name in dict.fromkeys((*PROJECT_FILES, *_ALSO))]
    return [*names, *deciding_files([f"{directory}/requirements.txt"])]


def python_project(directory: str) -> PythonProject:
    """Return what the project in `directory` declares; raises InvalidFile for a broken pyproject.toml."""
    table = _pyproject(f"{directory}/pyproject.toml")
    project = table.get("project")
    required = project.get("requires-python") if isinstance(project, dict) else None
    chosen = {found.file: found.python for found in found_in(directory) if found.python is not None}
    named = next((chosen[name] for name in _PYTHONS if name in chosen), None)
    python = ",".join(text for text in (named, required) if isinstance(text, str) and text)
    return PythonProject(directory, python, *_way(directory, table))


def _way(directory: str, table: dict[str, Any]) -> tuple[str, tuple[str, ...], bool]:
    """Return the file that says what is installed, the arguments of `uv pip install`, and whether uv syncs instead."""

    def has(name: str) -> bool:
        return os.path.exists(f"{directory}/{name}")

    if has("uv.lock") and has("pyproject.toml"):
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
    tool = table.get("tool")
    uv = tool.get("uv") if isinstance(tool, dict) else None
    return not (isinstance(uv, dict) and uv.get("package") is False)


def _pyproject(path: str) -> dict[str, Any]:
    if not os.path.exists(path):
        return {}
    text = files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST)
    try:
        return toml_table(text)
    except TOMLDecodeError as error:
        raise InvalidFile(path, [syntax_problem(str(error), text)]) from error
    except ValueError as error:
        raise InvalidFile(path, [Problem(str(error))]) from error
