"""What an unpacked conda package says of itself, in files of its directory `info`.

- `index.json`: name, version and build; `noarch` is `python` or `generic` for a package that is for every system. The
  package `python` may say by `python_site_packages_path` where packages of Python lie in its prefix.
- `paths.json`: `{"paths": [...], "paths_version": 1}`, with an entry for all that is installed. `_path` is relative to
  the prefix; `path_type` is `hardlink` (a file), `softlink` or `directory`. A file with `prefix_placeholder` has that
  text in the places where the path of its prefix has to stand. Its `file_mode` is `text` or `binary`: in a binary file
  each of the strings that it is part of ends with a zero byte and keeps its length.
- `link.json`: for a package of Python, `noarch.entry_points`, such as `command = module:function`.

All of it is untrusted. Nothing in the format keeps a path within the prefix, so `check_path` does; installers have
followed `../..` before. Only where files and links really lie can tell whether a path leads through a link.

Specification: the conda documentation, "Package specification", and CEP 34. Oddities: packages built before 2016 have
no paths.json and are refused. A softlink may be listed as a hardlink, so what lies in the package decides. `noarch` was
once `true` for a generic package.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.errors import Malformed
from esker.formats.printable import printable
from esker.formats.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ADVICE",
    "EntryPoint",
    "Index",
    "ListedPath",
    "Placeholder",
    "check_path",
    "entry_points",
    "index",
    "listed_paths",
]

_PATH_VERSION = 1
_KINDS = ("hardlink", "softlink", "directory")  # no sets, in which a value that is an object cannot be looked for
_MODES = ("text", "binary")
_NOARCH = (None, False, "python", "generic")
_COMMAND = re.compile(r"(?![.]{1,2}$)[0-9A-Za-z._+-]{1,200}")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
ADVICE = "do not use that package: it may be an attack"


class Placeholder(NamedTuple):
    """What stands in a file in the place of the prefix."""

    text: bytes
    is_binary: bool


class ListedPath(NamedTuple):
    """What a package installs at a path of the prefix."""

    path: str
    is_directory: bool
    placeholder: Placeholder | None


class Index(NamedTuple):
    """What `info/index.json` says, as far as an installation needs it."""

    name: str
    version: str
    build: str
    noarch: str | None
    """`python`, `generic`, or None for a package of one system."""
    site_packages: str | None
    """Where this interpreter has the packages of its prefix; None if it says nothing."""


class EntryPoint(NamedTuple):
    """A command that runs a function of a Python module."""

    command: str
    module: str
    function: str


def check_path(path: str) -> None:
    """Raise Malformed if `path` is not that of something below a prefix, in its shortest form."""
    shown = printable(path)
    if path.startswith("/"):
        raise Malformed(f"its file `{shown}` would lie outside of the environment: the path is absolute", hint=ADVICE)
    parts = path.split("/")
    if ".." in parts:
        raise Malformed(f"its file `{shown}` would lie outside of the environment: the path has `..`", hint=ADVICE)
    if "" in parts or "." in parts or "\0" in path:
        raise Malformed(f"its file `{shown}` has no path that can be", hint=ADVICE)


def index(data: bytes) -> Index:
    """Parse `info/index.json`; raises Malformed."""
    value = _object(data, "info/index.json")
    name, version, build = (_text(value, key, "info/index.json") for key in ("name", "version", "build"))
    noarch = value.get("noarch")
    if noarch is True:
        noarch = "generic"
    if noarch not in _NOARCH:
        raise Malformed("`noarch` in its `info/index.json` is neither `python` nor `generic`")
    site_packages = value.get("python_site_packages_path")
    if site_packages is not None:
        site_packages = _text(value, "python_site_packages_path", "info/index.json")
        check_path(site_packages)
    return Index(name, version, build, noarch or None, site_packages)


def listed_paths(data: bytes) -> tuple[ListedPath, ...]:
    """Parse `info/paths.json`, and check each path; raises Malformed."""
    file = "info/paths.json"
    value = _object(data, file)
    if value.get("paths_version") != _PATH_VERSION or not isinstance(value.get("paths"), list):
        raise Malformed(f"its `{file}` has no list of paths, or one of another version than {_PATH_VERSION}")
    listed: dict[str, ListedPath] = {}
    for entry in value["paths"]:
        if not isinstance(entry, dict):
            raise Malformed(f"an entry of its `{file}` is not an object")
        path = _text(entry, "_path", file)
        check_path(path)
        if path in listed:
            raise Malformed(f"its `{file}` has `{printable(path)}` twice")
        kind = entry.get("path_type", "hardlink")
        if kind not in _KINDS:
            raise Malformed(f"the `path_type` of `{printable(path)}` in its `{file}` is not one that conda has")
        listed[path] = ListedPath(path, kind == "directory", _placeholder(entry, path))
    return tuple(listed.values())


def entry_points(data: bytes) -> tuple[EntryPoint, ...]:
    """Parse the commands in `info/link.json`; raises Malformed."""
    noarch = _object(data, "info/link.json").get("noarch")
    lines = noarch.get("entry_points", []) if isinstance(noarch, dict) else []
    return tuple(_entry_points(lines if lines is not None else []))


def _entry_points(lines: Any) -> Iterator[EntryPoint]:
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise Malformed("`entry_points` in its `info/link.json` is not a list of strings")
    for line in lines:
        command, equals, target = (part.strip() for part in line.partition("="))
        module, colon, function = (part.strip() for part in target.partition(":"))
        if not equals or not colon or not _DOTTED.fullmatch(module) or not _DOTTED.fullmatch(function):
            raise Malformed(f"its entry point `{printable(line)}` is not of the form `command = module:function`")
        if not _COMMAND.fullmatch(command):
            message = f"its entry point `{printable(command)}` is not a name that a file in bin can have"
            raise Malformed(message, hint=ADVICE)
        yield EntryPoint(command, module, function)


def _placeholder(entry: dict[str, Any], path: str) -> Placeholder | None:
    file = "info/paths.json"
    if entry.get("prefix_placeholder") is None:
        return None
    text, mode = _text(entry, "prefix_placeholder", file), entry.get("file_mode", "text")
    if mode not in _MODES or not text or "\0" in text:
        raise Malformed(f"the placeholder of `{printable(path)}` in its `{file}` is not one that conda has")
    return Placeholder(text.encode(), mode == "binary")


def _object(data: bytes, file: str) -> dict[str, Any]:
    try:
        value = json_value(data)
    except ValueError as error:
        raise Malformed(f"its `{file}` is no valid JSON: {printable(str(error))}") from error
    if not isinstance(value, dict):
        raise Malformed(f"its `{file}` is not an object")
    return value


def _text(value: dict[str, Any], key: str, file: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise Malformed(f"`{key}` is missing in its `{file}`, or no string")
    return text
