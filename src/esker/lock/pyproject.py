"""What the pyproject.toml that a manifest names says of dependencies and of Python's version.

Whatever it declares in a form that cannot be read here is an error, so that nothing is left out in silence:
`[tool.poetry]` in place of `[project]`, and what only a build backend can tell (`dynamic`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare import notations
from esker.declare.project_file import MAIN, Place
from esker.errors import InvalidFile, NotFound, Problem
from esker.formats.syntax import read_toml
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import Refusal, near
from esker.formats.untrusted import LARGEST_MANIFEST
from esker.host import files
from esker.lock.dependency_groups import group_problems, no_such_name
from esker.lock.uv_settings import UvSettings, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from packaging.markers import Marker

    from esker.declare.declaration import Declaration

__all__ = ["Pyproject", "read_pyproject", "table_of"]

_KEYS = ("dependencies", "dynamic", "optional-dependencies", "requires-python")
"""The keys of `[project]` that bear on a lock."""


class Pyproject(NamedTuple):
    """The part of a pyproject.toml that a lock is made from."""

    path: str
    dependencies: tuple[str, ...]
    groups: Mapping[str, Any]
    """Dependency groups (PEP 735), as they are written, and well-formed."""
    extras: Mapping[str, tuple[str, ...]]
    """The requirements of each extra, by its name as it is written."""
    name: str | None
    """The project's name, by which its extras can be asked for."""
    requires_python: str | None
    """A PEP 440 specifier."""
    uv: UvSettings = UvSettings()
    """What `[tool.uv]` says, for the dependencies and the groups that the manifest chooses."""
    wanted: tuple[str, ...] = ()
    """The dependencies and those of the chosen groups, without addresses, which stand in `uv`."""

    def requirements(self, groups: tuple[str, ...], extras: tuple[str, ...] = ()) -> list[str]:
        """Return the dependencies and those of `groups` and `extras`; raises InvalidFile as `declared` does."""
        return [text for text, _ in self.declared(groups, extras)]

    def declared(self, groups: tuple[str, ...], extras: tuple[str, ...] = ()) -> list[tuple[str, Place]]:
        """Return the dependencies and those of `groups` and `extras`, each with the place where it is declared.

        What asks for an extra of the project itself stands for the requirements of that extra. Raises InvalidFile for a
        group or an extra that cannot be read.
        """
        found = [(text, MAIN) for text in self._expanded(self.dependencies)]
        for group in groups:
            found += [(text, Place("group", group)) for text in self._expanded(self._group(group))]
        for extra in extras:
            found += [(text, Place("optional", extra)) for text in self._expanded(self._extra(extra))]
        return found

    def _group(self, group: str) -> tuple[str, ...]:
        from packaging.dependency_groups import resolve_dependency_groups
        from packaging.utils import canonicalize_name

        if canonicalize_name(group) not in map(canonicalize_name, self.groups):
            raise InvalidFile(self.path, [no_such_name("dependency group", group, self.groups)])
        return resolve_dependency_groups(self.groups, group)

    def _extra(self, extra: str) -> tuple[str, ...]:
        from packaging.utils import canonicalize_name

        names = {canonicalize_name(name): name for name in self.extras}
        if canonicalize_name(extra) not in names:
            raise InvalidFile(self.path, [no_such_name("extra", extra, self.extras)])
        return self.extras[names[canonicalize_name(extra)]]

    def _expanded(self, texts: Iterable[str], within: tuple[str, ...] = ()) -> Iterator[str]:
        """Yield the requirements, with those of the project's own extras in place of what asks for such an extra."""
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name

        own = canonicalize_name(self.name) if self.name else None
        for text in texts:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:  # told when it is locked, with all that it needs
                yield text
                continue
            if canonicalize_name(requirement.name) != own or requirement.url is not None or not requirement.extras:
                yield text
                continue
            for extra in sorted(requirement.extras - set(within)):
                for inner in self._expanded(self._extra(extra), (*within, extra)):
                    yield _under(inner, requirement.marker)


def _under(text: str, marker: Marker | None) -> str:
    """Return a requirement that holds only where `marker` holds too."""
    from packaging.markers import Marker
    from packaging.requirements import Requirement

    if marker is None:
        return text
    requirement = Requirement(text)
    requirement.marker = Marker(f"({requirement.marker}) and ({marker})") if requirement.marker else marker
    return str(requirement)


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
    text = declaration.pyproject
    if text is None:
        text = files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST)
    content = _content(text, path)
    project, groups = content.get("project", {}), content.get("dependency-groups", {})
    if problems := list(group_problems(groups, positions(text))) if groups else []:
        raise InvalidFile(path, problems)
    for key in ("dependencies", "requires-python", *(["optional-dependencies"] if python.extras else [])):
        if key in _list_of_texts(project, "dynamic", path):
            hint = f"write `{key}` into [project] itself"
            problem = Problem(f"`{key}` of [project] is dynamic, so that only a build backend can tell it", hint=hint)
            raise InvalidFile(path, [problem])
    found = Pyproject(
        path=path,
        dependencies=tuple(_list_of_texts(project, "dependencies", path)),
        groups=groups,
        extras=_extras(project, path),
        name=project["name"] if isinstance(project.get("name"), str) else None,
        requires_python=_requires_python(project, text, path),
    )
    settings, wanted = read_settings(content, text, path, python, found.requirements(python.groups, python.extras))
    settings = settings._replace(lock_directory=declaration.dot_flox)
    return found._replace(uv=settings, wanted=tuple(wanted))


def _content(text: str, path: str) -> dict[str, Any]:
    """Return the values of the file, in which `project` and `dependency-groups` are tables if they are there."""
    content = read_toml(text, path)
    if not all(isinstance(content.get(name, {}), dict) for name in ("project", "dependency-groups")):
        raise InvalidFile(path, [Problem("`project` and `dependency-groups` have to be tables")])
    for key in content.get("project", {}):
        hint = near(key, _KEYS) if key not in _KEYS else None
        if hint is not None:
            raise InvalidFile(path, [Problem(f"unknown key `{key}` in [project]", hint=hint)])
    if "project" not in content and "poetry" in table_of(content, "tool"):
        problem = Problem(
            "the dependencies are declared for Poetry alone, in [tool.poetry]",
            hint="declare `dependencies` and `requires-python` in [project], which Poetry reads too",
        )
        raise InvalidFile(path, [problem])
    return content


def table_of(content: Mapping[str, Any], *keys: str) -> dict[str, Any]:
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


def _extras(project: dict[str, Any], path: str) -> dict[str, tuple[str, ...]]:
    extras = project.get("optional-dependencies", {})
    if not isinstance(extras, dict):
        raise InvalidFile(path, [Problem("`optional-dependencies` of [project] has to be a table")])
    return {name: tuple(_list_of_texts(extras, name, path)) for name in extras}


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
