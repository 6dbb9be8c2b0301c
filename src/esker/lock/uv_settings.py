"""What `[tool.uv]` of a project's pyproject.toml says about resolving its packages.

Keys that bear on a resolution are handed on to uv. Those that choose between wheels and building (`no-build`,
`no-binary`) are not: wheels are installed, except for what `build` in the manifest names and what comes from a source.
Workspaces and conflicts change what a project is, so they are refused.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from esker.errors import InvalidFile, Problem
from esker.formats.systems import marker_values
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import near
from esker.formats.toml_values import inline
from esker.formats.urls import redact
from esker.lock.uv_sources import Source, from_requirement, from_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.declare.declaration import PythonTable

__all__ = ["UvSettings", "fits", "read_settings"]

_TAKEN = (
    "constraint-dependencies",
    "dependency-metadata",
    "exclude-dependencies",
    "exclude-newer",
    "exclude-newer-package",
    "extra-index-url",
    "find-links",
    "fork-strategy",
    "index",
    "index-strategy",
    "index-url",
    "no-index",
    "override-dependencies",
    "prerelease",
    "resolution",
)
_FOR_BUILDS = ("build-constraint-dependencies", "extra-build-dependencies")
_PLACES = ("environments", "required-environments")
_REFUSED = {
    "conflicts": "leave out what conflicts, and make an environment of its own for each of the alternatives",
    "no-build-isolation-package": "name what its build needs in `extra-build-dependencies`",
    "no-build-isolation": "name what a build needs in `extra-build-dependencies`",
}
_MEMBER = 'take it from its directory: { path = "…", editable = true }'
_MINORS = range(7, 21)


class UvSettings(NamedTuple):
    """The part of `[tool.uv]` that a lock is made from."""

    taken: Mapping[str, Any] = {}
    """Keys that uv gets as they are, with absolute paths; they may hold credentials."""
    sources: tuple[Source, ...] = ()
    environments: tuple[str, ...] = ()
    """PEP 508 markers; the lock is limited to them where a declared system allows it."""
    build_constraints: tuple[str, ...] = ()
    extra_build: Mapping[str, tuple[str, ...]] = {}
    """Further requirements of the build of a package, by its normalised name."""
    lines: tuple[str, ...] = ()
    """Everything above as inputs of a lock, without credentials."""
    unused: tuple[str, ...] = ()
    """A sentence for each source whose package nothing in the file asks for."""
    lock_directory: str = "/"
    """Where the lock will lie, absolute."""

    @property
    def built(self) -> frozenset[str]:
        """The names of the packages that a lock of this project builds."""
        return frozenset(source.name for source in self.sources if source.is_built)

    def configuration(self) -> str:
        """Return a uv.toml with the project's indexes, for installing what is locked; it may hold credentials.

        All indexes are asked for each version, because the hash decides and not the first index that has the name.
        """
        keys = ("extra-index-url", "find-links", "index-url", "no-index")
        lines = [f"{key} = {inline(self.taken[key])}" for key in keys if key in self.taken]
        indexes = self.taken.get("index")
        if isinstance(indexes, list):
            # An explicit index is asked for the packages of its sources alone, and a lock does not tell which.
            asked = [{key: index[key] for key in index if key != "explicit"} for index in indexes]
            lines.append(f"index = {inline(asked)}")
        return "\n".join(['index-strategy = "unsafe-best-match"', *lines, ""]) if lines else ""


def fits(environment: str, system: str) -> bool:
    """Return whether a marker of `environments` is true on `system` with some Python.

    >>> fits("sys_platform == 'linux' and python_version < '3.13'", "x86_64-linux")
    True
    """
    return any(Marker(environment).evaluate(marker_values(system, f"3.{minor}")) for minor in _MINORS)


def read_settings(
    content: Mapping[str, Any], text: str, path: str, python: PythonTable, requirements: list[str]
) -> tuple[UvSettings, list[str]]:
    """Return the settings in a pyproject.toml, and `requirements` without addresses, which have become sources.

    `content` are the values in `text`, the file at `path`; `python` is what the manifest chooses of it. Raises
    InvalidFile, which names all that is wrong.
    """
    table = content.get("tool")
    table = table.get("uv", {}) if isinstance(table, dict) else {}
    lines = positions(text)
    if not isinstance(table, dict):
        raise InvalidFile(path, [Problem("`tool.uv` is not a table", line=lines.get(("tool", "uv")))])
    problems = [*_refused(table, lines), *_no_tables(table, lines)]
    sources: list[Source] = []
    named = []
    for found in _declared_sources(table, path, python, lines):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            sources.append(found)
    for requirement in requirements:
        source = _addressed(requirement, os.path.dirname(path))
        if isinstance(source, Problem):
            problems.append(source)
        elif source is not None:
            sources = [each for each in sources if each.name != source.name] + [source]
        named.append(requirement if source is None else _without_address(requirement))
    problems += _faulty_markers(table, lines)
    if problems:
        raise InvalidFile(path, problems)
    directory = os.path.dirname(path)
    settings = UvSettings(
        taken={key: _absolute(key, table[key], directory) for key in _TAKEN if key in table},
        sources=tuple(sources),
        environments=tuple(str(Marker(each)) for each in _texts(table, "environments")),
        build_constraints=tuple(_texts(table, "build-constraint-dependencies")),
        extra_build={
            canonicalize_name(name): tuple(text for text in texts if isinstance(text, str))
            for name, texts in _table(table, "extra-build-dependencies").items()
            if isinstance(texts, list)
        },
        lines=tuple(sorted(_lines(table, sources))),
        unused=tuple(_unused(content, table)),
    )
    return settings, named


def _unused(content: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each source that has no effect, because its package is asked for nowhere in the file."""
    project = _table(content, "project")
    lists = [
        _texts(project, "dependencies"),
        _texts(_table(content, "build-system"), "requires"),
        *(_texts(table, key) for key in (*_TAKEN, *_FOR_BUILDS, "dev-dependencies") if key.endswith("-dependencies")),
    ]
    tables = (
        _table(project, "optional-dependencies"),
        _table(content, "dependency-groups"),
        _table(table, "extra-build-dependencies"),
    )
    lists += [_texts(each, key) for each in tables for key in each]
    names = set()
    for text in (text for texts in lists for text in texts):
        with suppress(InvalidRequirement):  # told when it is locked
            names.add(canonicalize_name(Requirement(text).name))
    for name in _table(table, "sources"):
        if canonicalize_name(name) not in names:
            hint = near(canonicalize_name(name), names)
            yield f"`{name}` of [tool.uv.sources] is not among the dependencies" + (f": {hint}" if hint else "")


def _refused(table: Mapping[str, Any], lines: Mapping[tuple[str, ...], int]) -> Iterator[Problem]:
    for key, hint in _REFUSED.items():
        if table.get(key):
            message = f"`{key}` of [tool.uv] is not supported yet"
            yield Problem(message, line=lines.get(("tool", "uv", key)), hint=hint)
    if _table(table, "workspace").get("members"):
        hint = f"take `workspace` out; what this project needs of its members, {_MEMBER.partition(', ')[0]}"
        message = "a workspace, `workspace` of [tool.uv], is not supported yet"
        yield Problem(message, line=lines.get(("tool", "uv", "workspace")), hint=hint)


def _no_tables(table: Mapping[str, Any], lines: Mapping[tuple[str, ...], int]) -> Iterator[Problem]:
    for key in ("sources", "workspace", "extra-build-dependencies"):
        if not isinstance(table.get(key, {}), dict):
            yield Problem(f"`{key}` of [tool.uv] is not a table", line=lines.get(("tool", "uv", key)))


def _faulty_markers(table: Mapping[str, Any], lines: Mapping[tuple[str, ...], int]) -> Iterator[Problem]:
    for key in _PLACES:
        for marker in _texts(table, key):
            try:
                Marker(marker)
            except InvalidMarker as error:
                yield Problem(f"`{marker}` in `{key}` is no marker: {error}", line=lines.get(("tool", "uv", key)))


def _declared_sources(
    table: Mapping[str, Any], path: str, python: PythonTable, lines: Mapping[tuple[str, ...], int]
) -> Iterator[Source | Problem]:
    if table.get("no-sources") is True:
        return
    ignored = {canonicalize_name(name) for name in _texts(table, "no-sources-package")}
    for name, value in _table(table, "sources").items():
        if canonicalize_name(name) in ignored:
            continue
        line = lines.get(("tool", "uv", "sources", name))
        entries = value if isinstance(value, list) else [value]
        if any(isinstance(entry, dict) and "workspace" in entry for entry in entries):
            message = f"`{name}` is taken from a workspace, which is not supported yet"
            yield Problem(message, line=line, hint=_MEMBER)
            continue
        for found in from_table(name, value, os.path.dirname(path), python.groups, python.extras):
            yield Problem(found.message, line=line, hint=found.hint) if isinstance(found, Problem) else found


def _addressed(text: str, base: str) -> Source | Problem | None:
    """Return the source of a requirement with an address; None for any other one, and for what is no requirement."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    return from_requirement(requirement, base) if requirement.url is not None else None


def _without_address(text: str) -> str:
    requirement = Requirement(text)
    requirement.url = None
    return str(requirement)


def _absolute(key: str, value: Any, base: str) -> Any:
    """Return the value of a key with the paths in it made absolute, because uv reads it in another directory."""
    if key == "index" and isinstance(value, list):
        return [
            {**each, "url": _place(each["url"], base)} if isinstance(each, dict) and "url" in each else each
            for each in value
        ]
    if key in {"find-links", "extra-index-url"} and isinstance(value, list):
        return [_place(each, base) for each in value]
    return _place(value, base) if key == "index-url" else value


def _place(address: Any, base: str) -> Any:
    if not isinstance(address, str) or "://" in address:
        return address
    return os.path.normpath(os.path.join(base, os.path.expanduser(address)))


def _lines(table: Mapping[str, Any], sources: list[Source]) -> Iterator[str]:
    for key in (*_TAKEN, *_FOR_BUILDS, *_PLACES):
        value = table.get(key)
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                yield redact(f"{key}: {each if isinstance(each, str) else inline(each)}")
    for source in sources:
        yield f"sources: {source.name} = {source.line()}"


def _texts(table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}
