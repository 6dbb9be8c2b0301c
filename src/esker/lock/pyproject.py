"""What the pyproject.toml that a manifest names says of dependencies and of Python's version.

Whatever it declares in a form that cannot be read here is an error, so that nothing is left out in silence:
`[tool.poetry]` in place of `[project]`, and what only a build backend can tell (`dynamic`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare import notations
from esker.errors import InvalidFile, NotFound, Problem
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import Refusal, near
from esker.formats.untrusted import LARGEST_MANIFEST, toml_table
from esker.host import files
from esker.lock.uv_settings import UvSettings, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.declare.declaration import Declaration

__all__ = ["Pyproject", "read_pyproject"]

_KEYS = ("dependencies", "dynamic", "optional-dependencies", "requires-python")
"""The keys of `[project]` that bear on a lock."""


class Pyproject(NamedTuple):
    """The part of a pyproject.toml that a lock is made from."""

    path: str
    dependencies: tuple[str, ...]
    groups: Mapping[str, Any]
    """Dependency groups (PEP 735), as they are written."""
    requires_python: str | None
    """A PEP 440 specifier."""
    uv: UvSettings = UvSettings()
    """What `[tool.uv]` says, for the dependencies and the groups that the manifest chooses."""
    wanted: tuple[str, ...] = ()
    """The dependencies and those of the chosen groups, without addresses, which stand in `uv`."""

    def requirements(self, groups: tuple[str, ...]) -> list[str]:
        """Return the dependencies and those of `groups`; raises InvalidFile for a group that cannot be read."""
        from packaging.dependency_groups import resolve_dependency_groups

        wanted = list(self.dependencies)
        for group in groups:
            try:
                wanted += resolve_dependency_groups(self.groups, group)
            except (LookupError, ValueError, TypeError, ExceptionGroup) as error:
                known = ", ".join(f"`{name}`" for name in self.groups) or "none"
                why = "; ".join(map(str, error.exceptions)) if isinstance(error, ExceptionGroup) else error
                problem = Problem(f"no dependency group `{group}` can be read: {why}", hint=f"its groups: {known}")
                raise InvalidFile(self.path, [problem]) from error
        return wanted


def read_pyproject(declaration: Declaration) -> Pyproject | None:
    """Return what the pyproject.toml of `declaration` says, or None if the manifest names no such file.

    Raises NotFound for a missing file, and InvalidFile for one that cannot be read.
    """
    python = declaration.esker.python
    if python is None or python.project is None:
        return None
    path = os.path.join(declaration.project, python.project)
    if not os.path.lexists(path):
        raise NotFound(
            f"`{path}`, named by `project` in [plugins.esker.python], is not there",
            hint="name a pyproject.toml relative to the project directory, or declare `dependencies`",
        )
    text = files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST)
    content = _content(text, path)
    project, groups = content.get("project", {}), content.get("dependency-groups", {})
    for key in ("dependencies", "requires-python"):
        if key in _list_of_texts(project, "dynamic", path):
            hint = f"write `{key}` into [project] itself"
            problem = Problem(f"`{key}` of [project] is dynamic, so that only a build backend can tell it", hint=hint)
            raise InvalidFile(path, [problem])
    found = Pyproject(
        path=path,
        dependencies=tuple(_list_of_texts(project, "dependencies", path)),
        groups=groups,
        requires_python=_requires_python(project, text, path),
    )
    settings, wanted = read_settings(content, text, path, python.groups, found.requirements(python.groups))
    settings = settings._replace(lock_directory=declaration.dot_flox)
    return found._replace(uv=settings, wanted=tuple(wanted))


def _content(text: str, path: str) -> dict[str, Any]:
    """Return the values of the file, in which `project` and `dependency-groups` are tables if they are there."""
    try:
        content = toml_table(text)
    except ValueError as error:  # that of TOML too
        raise InvalidFile(path, [Problem(f"not TOML: {error}")]) from error
    if not all(isinstance(content.get(name, {}), dict) for name in ("project", "dependency-groups")):
        raise InvalidFile(path, [Problem("`project` and `dependency-groups` have to be tables")])
    for key in content.get("project", {}):
        hint = near(key, _KEYS) if key not in _KEYS else None
        if hint is not None:
            raise InvalidFile(path, [Problem(f"unknown key `{key}` in [project]", hint=hint)])
    if "project" not in content and "poetry" in _table(content, "tool"):
        problem = Problem(
            "the dependencies are declared for Poetry alone, in [tool.poetry]",
            hint="declare `dependencies` and `requires-python` in [project], which Poetry reads too",
        )
        raise InvalidFile(path, [problem])
    return content


def _table(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return a table in the file that belongs to another tool; empty if it is missing or something else."""
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _list_of_texts(project: dict[str, Any], key: str, path: str) -> list[str]:
    value = project.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise InvalidFile(path, [Problem(f"`{key}` of [project] has to be a list of texts")])
    return value


def _requires_python(project: dict[str, Any], text: str, path: str) -> str | None:
    value = project.get("requires-python", "")
    if value == "":
        return None
    message, hint = "it has to be a text", 'write a comparison, such as ">=3.11"'
    if isinstance(value, str):
        try:
            return notations.specifier(value)
        except Refusal as refusal:
            message, hint = refusal.message, refusal.hint
    line = positions(text).get(("project", "requires-python"))
    raise InvalidFile(path, [Problem(f"`requires-python`: {message}", line=line, hint=hint)])
