"""The merge of two tables `[plugins.esker]`, key by key: what a lower layer declares counts unless a higher one does.

Flox replaces a plugin's table whole, so that an environment with one Python package of its own would lose those of all
layers. Esker merges tables within tables instead. A value is the higher layer's, with these exceptions:

- lists of packages are united by the package's name: of one package, all entries are the higher layer's;
- lists whose entries stand for themselves (`channels`, `source`, `build`) are united, the higher layer's entries first;
- keys that mean nothing without each other are the higher layer's together: a project with its groups and extras, the
  form of a health check, the containers of one Compose file.

The tables are plain values, and need not be valid: what they are merged to is checked afterwards. The merge is
associative. Paths in a layer are relative to that layer's project; `rebased` makes them relative to another one.
An image is made of a project's own files, so a layer's `image` does not count for the projects that include it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from esker.formats.conda.specs import package_of_spec

if TYPE_CHECKING:
    from esker.formats.tables.reader import Path

__all__ = ["merged", "rebased"]


def _python_name(entry: object) -> str:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        return canonicalize_name(Requirement(str(entry)).name)
    except InvalidRequirement:
        return str(entry)


def _conda_name(entry: object) -> str:
    spec = str(entry.get("spec") if isinstance(entry, Mapping) else entry).strip()
    return package_of_spec(spec) or spec


_BY_NAME: Mapping[Path, Callable[[object], str]] = {
    ("python", "dependencies"): _python_name,
    ("conda", "dependencies"): _conda_name,
}
_UNITED = {("python", "source"), ("python", "build"), ("conda", "channels")}
_PROGRAMS = ("python", "programs")
_PROJECT = ("project", "groups", "extras", "editable")
_FORMS = ("test", "tcp", "unix", "http", "log")
_CONTAINERS = ("file", "services")


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return two tables `[plugins.esker]` as one.

    >>> merged({"python": {"dependencies": ["a", "b>=1"]}}, {"python": {"dependencies": ["B>=2"], "version": ">=3.11"}})
    {'python': {'dependencies': ['a', 'B>=2'], 'version': '>=3.11'}}
    """
    return _tables(low, high, ())


def _tables(low: Mapping[str, Any], high: Mapping[str, Any], path: Path) -> dict[str, Any]:
    together = _together(path)
    gone = set(together) if any(key in high for key in together) else set()
    result = {key: value for key, value in low.items() if key not in gone}
    for key, value in high.items():
        result[key] = _values(result[key], value, (*path, key)) if key in result else value
    return result


def _values(low: Any, high: Any, path: Path) -> Any:
    if isinstance(low, Mapping) and isinstance(high, Mapping) and not _is_whole(path):
        return _tables(low, high, path)
    if isinstance(low, list) and isinstance(high, list):
        if path in _BY_NAME:
            name = _BY_NAME[path]
            names = {name(entry) for entry in high}
            return [*(entry for entry in low if name(entry) not in names), *high]
        if path in _UNITED:
            return [*high, *(entry for entry in low if entry not in high)]
    return high


def _is_whole(path: Path) -> bool:
    """Return whether a table is one way to write a value that can be written otherwise too."""
    return path == ("python", "version") or (path[: len(_PROGRAMS)] == _PROGRAMS and len(path) > len(_PROGRAMS))


def _together(path: Path) -> tuple[str, ...]:
    """Return the keys of the table at `path` that belong together."""
    match path:
        case ("python",):
            return _PROJECT
        case ("services", _, "healthcheck"):
            return _FORMS
        case ("compose",):
            return _CONTAINERS
        case _:
            return ()


def rebased(table: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """Return a table whose paths begin at another project, from which `directory` leads to the project of the table.

    >>> rebased({"python": {"project": "pyproject.toml", "source": ["src"]}}, "../low")
    {'python': {'project': '../low/pyproject.toml', 'source': ['../low/src']}}
    """
    result = {key: value for key, value in table.items() if key != "image"}
    for name, keys in (("python", ("project", "source")), ("compose", ("file",))):
        inner = table.get(name)
        if isinstance(inner, Mapping):
            result[name] = {key: _moved(inner[key], directory) if key in keys else inner[key] for key in inner}
    return result


def _moved(value: Any, directory: str) -> Any:
    if isinstance(value, list):
        return [_moved(each, directory) for each in value]
    if not isinstance(value, str) or not value or value.startswith(("/", "~")):  # refused later, as it is written
        return value
    return os.path.normpath(os.path.join(directory, value))
