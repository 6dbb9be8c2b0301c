"""The merge of two tables `[plugins.esker]`, key by key: what a lower layer declares counts unless a higher one does.

Flox replaces a plugin's table whole, so that an environment with one Python package of its own would lose those of all
layers. Esker merges tables within tables instead. A value is the higher layer's, with these exceptions:

- lists of packages are united by the package's name: of one package, all entries are the higher layer's;
- lists whose entries stand for themselves (`channels`, `source`, `build`) are united, the higher layer's entries first;
- keys that mean nothing without each other are the higher layer's together: a project with its groups and extras, the
  form of a health check, the containers of one Compose file; and a higher layer's base has no Python of a lower one's;
- what an image has at one place is the higher layer's as a whole, and so is the list of an image's layers.

The tables are plain values, and need not be valid: what they are merged to is checked afterwards. The merge is
associative. Paths in a layer are relative to that layer's project; `rebased` makes them relative to another one.
Two keys say which image it is and hold for a layer's own image alone: `included` takes them out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from esker.declare.declaration import FORMS
from esker.formats import git_address
from esker.formats.conda.specs import package_of_spec

if TYPE_CHECKING:
    from esker.formats.tables.reader import Path

__all__ = ["included", "merged", "rebased"]


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
_CONTAINERS = ("file", "services")
_BASE = ("from", "python")
_PREPARE = ("image", "prepare")
_OF_ONE_IMAGE = ("name", "files")
"""Two images of one name replace each other, and which files enter an image is for its own manifest to say."""


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return two tables `[plugins.esker]` as one.

    >>> merged({"python": {"dependencies": ["a", "b>=1"]}}, {"python": {"dependencies": ["B>=2"], "version": ">=3.11"}})
    {'python': {'dependencies': ['a', 'B>=2'], 'version': '>=3.11'}}
    """
    return _tables(low, high, ())


def _tables(low: Mapping[str, Any], high: Mapping[str, Any], path: Path) -> dict[str, Any]:
    gone = _replaced(path, high)
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
    """Return whether a table is one value: one way to write it, where there are others, or one of several kinds."""
    return path == ("python", "version") or (path[:2] in {_PROGRAMS, _PREPARE} and len(path) > len(_PROGRAMS))


def _replaced(path: Path, high: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the table at `path` that a lower layer has for nothing, because of what `high` says."""
    if path == ("image",):
        return _BASE if "from" in high else ()  # a Python may be stated of a lower layer's base
    together = _together(path)
    return together if any(key in high for key in together) else ()


def _together(path: Path) -> tuple[str, ...]:
    """Return the keys of the table at `path` that belong together."""
    match path:
        case ("python",):
            return _PROJECT
        case ("services", _, "healthcheck"):
            return FORMS
        case ("compose",):
            return _CONTAINERS
        case _:
            return ()


def included(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a layer's table counts for the environments that include it.

    >>> included({"image": {"name": "low", "files": {"/app": ["src"]}, "services": True}})
    {'image': {'services': True}}
    """
    image = table.get("image")
    if not isinstance(image, Mapping):
        return {**table}
    return {**table, "image": {key: value for key, value in image.items() if key not in _OF_ONE_IMAGE}}


def rebased(table: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """Return a table whose paths begin at another project, from which `directory` leads to the project of the table.

    >>> rebased({"python": {"project": "pyproject.toml", "source": ["src"]}}, "../low")
    {'python': {'project': '../low/pyproject.toml', 'source': ['../low/src']}}
    """
    result = {**table}
    for name, keys in (("python", ("project", "source")), ("compose", ("file",))):
        inner = table.get(name)
        if isinstance(inner, Mapping):
            result[name] = {key: _moved(inner[key], directory) if key in keys else inner[key] for key in inner}
    image = table.get("image")
    if isinstance(image, Mapping):
        result["image"] = {key: _moved_of_image(key, image[key], directory) for key in image}
    return result


def _moved(value: Any, directory: str) -> Any:
    if isinstance(value, list):
        return [_moved(each, directory) for each in value]
    if not isinstance(value, str) or not value or value.startswith(("/", "~")):  # refused later, as it is written
        return value
    return os.path.normpath(os.path.join(directory, value))


def _moved_of_image(key: str, value: Any, directory: str) -> Any:
    """Return a value of an image's table: a base that is a path, and what is prepared from paths of the project."""
    if key == "from" and isinstance(value, str) and value.startswith(("./", "../")):
        moved = str(_moved(value, directory))
        return moved if moved.startswith("../") else f"./{moved}"
    if key == "prepare" and isinstance(value, Mapping):
        return {place: _moved_prepared(entry, directory) for place, entry in value.items()}
    return value


def _moved_prepared(entry: Any, directory: str) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    git = entry.get("git")
    keys = {"npm-lock", *(["git"] if isinstance(git, str) and git_address.is_local(git) else [])}
    return {key: _moved(entry[key], directory) if key in keys else entry[key] for key in entry}
