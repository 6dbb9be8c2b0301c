"""The project itself as a package: what its pyproject.toml says of how it is built and installed.

A project is a package as for uv: if its pyproject.toml has `[build-system]` or `tool.uv.package = true`, and not if
that is `false`. It is built by its own backend, whose requirements are locked. A backend can ask for more when it runs;
locking runs no code of the project, so what the common backends ask for is worked out from their settings.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name

from esker.errors import InvalidFile, Problem
from esker.formats.tables.positions import positions
from esker.formats.untrusted import LARGEST_MANIFEST, toml_table
from esker.host import files
from esker.lock.build_backend import BuildSystem
from esker.lock.cache_keys import CacheKey, cache_keys
from esker.lock.directory_metadata import metadata_keys
from esker.lock.pyproject import read_pyproject, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.declare.declaration import Declaration

__all__ = ["OwnProject", "editable_dependency", "own_project", "uninstalled"]

_DEFAULT_REQUIREMENTS = ("setuptools>=64",)
"""What builds a package that names no backend (PEP 517); older ones have no editable build."""
_EDITABLES = "editables"
_BUILD_SYSTEM = """\
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build\""""
_FAR = "9999"
"""A version that a requirement without an upper limit allows."""


class OwnProject(NamedTuple):
    """A project that is installed into its own environment."""

    directory: str
    """Absolute; it holds the pyproject.toml."""
    name: str
    """Normalised."""
    requirements: tuple[str, ...]
    """PEP 508 requirements of its build, sorted."""
    keys: tuple[CacheKey, ...]
    """What a change of makes it necessary to build again."""
    settings: tuple[tuple[str, str], ...] = ()
    """Names and values of the settings in `tool.uv.config-settings`, for the backend."""
    is_built_by_uv: bool = False
    """Whether Esker's own uv has the backend in it, in a version that is asked for: then nothing has to be fetched."""

    is_dependency: bool = False
    """Whether it is a package that the project takes from a directory."""

    @property
    def pyproject(self) -> str:
        """The path of its pyproject.toml."""
        return f"{self.directory}/pyproject.toml"


def own_project(declaration: Declaration) -> OwnProject | None:
    """Return the project of `declaration` if it is part of its own environment, else None.

    Raises InvalidFile for a pyproject.toml by which it cannot be built.
    """
    content, text, path = _content(declaration)
    if not _is_package(content):
        return None
    name = content["project"].get("name")
    try:
        normalised = canonicalize_name(name, validate=True) if isinstance(name, str) else None
    except InvalidName:
        normalised = None
    if normalised is None:
        message = "[project] has no `name`" if name is None else f"`{name}` is not the name of a package"
        hint = "a name has letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit"
        line = positions(text).get(("project", "name")) or positions(text).get(("project",))
        raise InvalidFile(path, [Problem(message, line=line, hint=hint)])
    return OwnProject(
        directory=os.path.dirname(path),
        name=normalised,
        requirements=tuple(sorted(_requirements(content, text, path))),
        keys=cache_keys(table_of(content, "tool", "uv").get("cache-keys"), path),
        settings=tuple(_settings(content)),
        is_built_by_uv=_build_system(content).is_built_by_uv,
    )


def editable_dependency(name: str, directory: str) -> OwnProject:
    """Return the package `name` in a directory as a project that is installed into the environment of another one.

    What its build needs is locked with the package; its own settings for its backend count only in its own environment.
    """
    return OwnProject(directory, name, (), metadata_keys(directory), is_dependency=True)


def uninstalled(declaration: Declaration) -> str | None:
    """Return why a project is not installed although its pyproject.toml reads as if it were; None if it does not."""
    content, _, path = _content(declaration)
    if _is_package(content):
        return None
    project = content.get("project", {})
    if table_of(content, "tool", "uv").get("package") is False:
        return None
    commands = [key for key in ("scripts", "gui-scripts", "entry-points") if project.get(key)]
    if commands:
        return (
            f"`{commands[0]}` of [project] in {path} has no effect: without [build-system] the project is not "
            f"installed; add one, such as\n{_BUILD_SYSTEM}"
        )
    if "build-system" in content and "project" not in content:
        return f"{path} has [build-system] but no [project]: the project is not installed"
    return None


def _content(declaration: Declaration) -> tuple[dict[str, Any], str, str]:
    """Return the values, text and path of the pyproject.toml; no values if the project is not to be installed."""
    python = declaration.esker.python
    project = read_pyproject(declaration) if python is not None and python.editable else None
    if project is None:
        return {}, "", ""
    text = files.read_text(project.path, InvalidFile, limit=LARGEST_MANIFEST)
    return toml_table(text), text, os.path.normpath(project.path)


def _is_package(content: Mapping[str, Any]) -> bool:
    if "project" not in content:
        return False
    package = table_of(content, "tool", "uv").get("package")
    return package if isinstance(package, bool) else "build-system" in content


def _requirements(content: Mapping[str, Any], text: str, path: str) -> Iterator[str]:
    declared = content.get("build-system", {"requires": _DEFAULT_REQUIREMENTS})
    requires = declared.get("requires") if isinstance(declared, dict) else None
    if not isinstance(requires, list | tuple) or not all(isinstance(each, str) for each in requires):
        problem = Problem("`requires` of [build-system] has to be a list of requirements", line=_line(text))
        raise InvalidFile(path, [problem])
    backend = declared.get("build-backend", "setuptools.build_meta:__legacy__")
    for each in [*requires, *_asked_for(content, str(backend), list(requires))]:
        try:
            requirement = Requirement(each)
        except (InvalidRequirement, TypeError) as error:
            problem = Problem(f"`{each}` is not a requirement of a build", line=_line(text), hint=str(error))
            raise InvalidFile(path, [problem]) from error
        if requirement.url is not None:
            hint = "ask for a version of it that an index has"
            message = f"`{requirement.name}` is asked for by address, so that no index vouches for its hash"
            raise InvalidFile(path, [Problem(message, line=_line(text), hint=hint)])
        yield str(requirement)


def _line(text: str) -> int | None:
    return positions(text).get(("build-system", "requires")) or positions(text).get(("build-system",))


def _asked_for(content: Mapping[str, Any], backend: str, requires: list[str]) -> Iterator[str]:
    """Yield what a backend asks for beyond `requires` when it makes an editable build."""
    if backend.startswith("hatchling."):
        yield _EDITABLES
        build = table_of(content, "tool", "hatch", "build")
        tables = [build, table_of(build, "targets", "wheel")]
        tables += [hook for each in list(tables) for hook in table_of(each, "hooks").values() if isinstance(hook, dict)]
        for table in tables:
            yield from table.get("dependencies", [])
    if backend.startswith("setuptools."):  # those before 70.1 need `wheel`
        named = [Requirement(each) for each in requires if each.startswith("setuptools")]
        if any(not each.specifier.contains(_FAR) for each in named if each.name == "setuptools"):
            yield "wheel"


def _build_system(content: Mapping[str, Any]) -> BuildSystem:
    declared = content.get("build-system", {})
    requires, backend = declared.get("requires", ()), str(declared.get("build-backend"))
    return BuildSystem(tuple(requires), backend, tuple(declared.get("backend-path", ())))


def _settings(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in sorted(table_of(content, "tool", "uv", "config-settings").items()):
        for each in value if isinstance(value, list) else [value]:
            yield name, str(each)
