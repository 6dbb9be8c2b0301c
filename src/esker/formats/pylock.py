"""pylock.toml: the locked Python packages of an environment (PEP 751), and how Esker writes it.

The file names every package with its version, the marker under which it is installed, and its wheels with their
SHA-256. `packaging.pylock` reads, validates and selects. This module adds a writer, which always gives the same bytes
for the same lock, and the table `[tool.esker]`, which records the inputs that the lock was made from and what they
gave, and, below `build-requirements`, what has to be there to build the project itself. So a package that came into the
file later, by hand or by a merge, is found without an index.

Oddities: we write no header (it would hold a command line) and no comments. The order of keys is fixed; packages are
sorted by name and wheels by file name. A source distribution is kept only for a package that may be built. URLs carry
no credentials and are only hints, because the hash decides. A wheel's name is left out if its URL ends with it.

A package from a repository (`vcs`), a directory or an archive has no wheel whose hash could be locked. What it is built
with stands below `build-requirements` too, by its name and source, with the hash of a repository's tree.

`[tool.esker]` has two digests. `inputs` is that of the keys that say what the lock was made from. `contents` is that of
`inputs` and of everything that decides what is installed. `packages` has one line for each package, so that a changed
one can be named. Locks of earlier versions have neither `contents` nor `packages`.

Specification: PEP 751, packaging.python.org/en/latest/specifications/pylock-toml.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.requirements import InvalidRequirement, Requirement

from esker.errors import InvalidLock, Problem
from esker.formats.pylock_package import package_lines
from esker.formats.toml_values import string as _string
from esker.formats.untrusted import toml_table

__all__ = [
    "Inputs",
    "Pylock",
    "SourceRecord",
    "alterations",
    "build_requirements",
    "inputs",
    "is_sealed",
    "parse",
    "pinned",
    "render",
    "source_records",
    "with_build_requirements",
    "with_source_records",
]

_NAME = "pylock.toml"
_SHORT = 16
"""Hexadecimal digits of a single package's digest; the digest of them all is whole."""
_BUILD = "build-requirements"
_LATER = ("build-system", "settings", "files", "uv-lock")
"""Inputs that earlier versions of Esker did not know: where they are empty, the digest is what it was."""
_HASH = re.compile(r" --hash=sha(256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})")
_TREE = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})?")


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock was made from; while the inputs stay equal, no new resolution is needed."""

    requirements: tuple[str, ...]
    """PEP 508 requirements as declared, sorted."""
    python: str
    """The version specifier of the interpreter; empty if none was declared."""
    systems: tuple[str, ...]
    build: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    """URLs of the indexes that are used besides the default one, without credentials."""
    build_system: tuple[str, ...] = msgspec.field(default=(), name="build-system")
    """What the project itself needs to be built, if it is part of its environment."""
    settings: tuple[str, ...] = ()
    """What `[tool.uv]` of the project says, one line an entry, sorted and without credentials."""
    files: tuple[str, ...] = ()
    """Names of path dependencies, each with the hash of its metadata."""
    uv_lock: str = msgspec.field(default="", name="uv-lock")
    """The hash of the project's uv.lock, as `sha256:<hex>`; empty if it has none."""

    def digest(self) -> str:
        """Return the hash of the inputs, as `sha256:<hex>`."""
        return "sha256:" + _sha256({k: v for k, v in msgspec.to_builtins(self).items() if v or k not in _LATER})


class _Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock's inputs gave, as it was recorded when the lock was made."""

    contents: str | None = None
    packages: tuple[str, ...] = ()


_T = TypeVar("_T", bound=msgspec.Struct)
_HINT = "remove the file, then make it again: esker lock"


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a package without wheels is built from, besides its own code."""

    source: str
    """The package's normalised name, and the commit, path or address that it comes from."""
    tree: str = ""
    """The hash of the tree of a repository's commit, in hexadecimal; empty for other sources."""
    build_requirements: tuple[str, ...] = ()
    """Lines as in a requirements.txt: `NAME==VERSION ; MARKER --hash=sha256:…`."""


@lru_cache(maxsize=4)
def parse(text: str, path: str = _NAME) -> Pylock:
    """Read a lock; raise InvalidLock if it is not valid TOML or violates PEP 751.

    Nobody changes what is returned: the next call with the same text gives it again, because a command reads one lock
    several times, and a lock of 100 packages takes 35 ms.
    """
    try:
        return Pylock.from_dict({"packages": [], **toml_table(text)})  # uv leaves an empty list out
    except PylockValidationError as error:
        raise InvalidLock(path, [Problem(f"not a lock of PEP 751: {error}", hint=_HINT)]) from error
    except ValueError as error:
        raise InvalidLock(path, [Problem(f"not TOML: {error}", hint=_HINT)]) from error


def inputs(lock: Pylock) -> Inputs | None:
    """Return the inputs that `lock` was made from, or None if another tool made it.

    Raises InvalidLock if the recorded digest does not match the recorded inputs.
    """
    recorded = _recorded(lock)
    if recorded is None:
        return None
    made_from = _converted(recorded, Inputs)
    if recorded.get("inputs") != made_from.digest():
        message = "`tool.esker.inputs` is not the digest of the other keys of `tool.esker`"
        raise InvalidLock(_NAME, [Problem(message, hint=_HINT)])
    return made_from


def is_sealed(lock: Pylock) -> bool:
    """Return whether a lock says which packages its inputs gave, which locks of earlier versions do not."""
    recorded = _recorded(lock)
    return recorded is not None and _converted(recorded, _Contents).contents is not None


def alterations(lock: Pylock, made_from: Inputs) -> Iterator[str]:
    """Yield what has changed in a lock since its inputs gave it; nothing if the lock does not say what they gave.

    This finds accidents. Whoever writes new digests as well can still change the lock as they like.
    """
    recorded = _recorded(lock)
    sealed = _Contents() if recorded is None else _converted(recorded, _Contents)
    lines = _lines(lock.packages, source_records(lock))
    if sealed.contents is None or sealed.contents == _digest(lines, made_from):
        return
    given, present = Counter(sealed.packages), Counter(lines)
    before, now = _names(given), _names(present)
    for name in sorted(now - before):
        yield f"`{name}` is in it, but the lock was made without it"
    for name in sorted(before - now):
        yield f"`{name}` is missing, but the lock was made with it"
    for name in sorted(_names((present - given) + (given - present)) & before & now):
        yield f"`{name}` is not as it was locked"
    if given == present:
        yield "its packages are not what its inputs gave, as after a merge of two locks"


class _BuildTable(msgspec.Struct, frozen=True):
    requirements: tuple[str, ...] = ()
    tree: str = ""


def build_requirements(lock: Pylock) -> dict[str, tuple[str, ...]]:
    """Return the locked build requirements of each package that is built here, as lines of a requirements file.

    The key is the name of the project itself, or the `source` of a SourceRecord. Raises InvalidLock for a line that is
    anything but a version with hashes: uv would read options there.
    """
    return {name: table.requirements for name, table in _build_tables(lock).items()}


def source_records(lock: Pylock) -> dict[str, SourceRecord]:
    """Return what `lock` records of the packages that come from sources, by `source`; raises InvalidLock."""
    return {
        name: SourceRecord(source=name, tree=table.tree, build_requirements=table.requirements)
        for name, table in _build_tables(lock).items()
        if " " in name  # the project itself has its name alone
    }


def with_build_requirements(lock: Pylock, lines: Mapping[str, Sequence[str]]) -> Pylock:
    """Return `lock` with the locked build requirements of the named packages besides those that it has."""
    return _with_build_tables(lock, {name: {"requirements": list(each)} for name, each in lines.items() if each})


def with_source_records(lock: Pylock, records: Iterable[SourceRecord]) -> Pylock:
    """Return `lock` with these records besides those that it has."""
    tables = {each.source: {"requirements": list(each.build_requirements), "tree": each.tree} for each in records}
    return _with_build_tables(lock, tables)


def pinned(line: str) -> Requirement | None:
    """Return what a line of build requirements asks for, or None if it is anything but a version with hashes."""
    found = _HASH.search(line)
    if found is None or _HASH.sub("", line[found.start() :]) or "\n" in line or "\r" in line:
        return None
    head = line[: found.start()]
    try:
        requirement = Requirement(head)
    except InvalidRequirement:
        return None
    is_version = re.fullmatch(r"==[^,*=\s]+", str(requirement.specifier)) is not None
    return requirement if is_version and requirement.url is None and " -" not in head else None


def _build_tables(lock: Pylock) -> dict[str, _BuildTable]:
    try:
        tables = msgspec.convert((_recorded(lock) or {}).get(_BUILD, {}), dict[str, _BuildTable])
    except msgspec.ValidationError as error:
        raise InvalidLock(_NAME, [Problem(f"`tool.esker.{_BUILD}`: {error}", hint=_HINT)]) from error
    for name, table in tables.items():
        for line in table.requirements:
            if pinned(line) is None:
                message = f"`tool.esker.{_BUILD}` of `{name}`: `{line[:80]}` is not a version with hashes"
                raise InvalidLock(_NAME, [Problem(message, hint=_HINT)])
        if not _TREE.fullmatch(table.tree):
            message = f"`tool.esker.{_BUILD}` of `{name}`: `{table.tree[:80]}` is not the hash of a tree"
            raise InvalidLock(_NAME, [Problem(message, hint=_HINT)])
    return tables


def _with_build_tables(lock: Pylock, tables: Mapping[str, Mapping[str, Any]]) -> Pylock:
    esker = dict((lock.tool or {}).get("esker", {}))
    esker[_BUILD] = {**esker.get(_BUILD, {}), **tables}
    return dataclasses.replace(lock, tool={**(lock.tool or {}), "esker": esker})


def render(lock: Pylock, made_from: Inputs, *, build: Collection[str] = (), sealed: bool = True) -> str:
    """Return the text of a lock; only the packages named in `build` keep their source distributions.

    A lock that is not `sealed` does not say which packages its inputs gave.
    """
    lines = ['lock-version = "1.0"']
    if lock.environments:
        lines += _array("environments", [str(marker) for marker in lock.environments])
    if lock.requires_python is not None:
        lines.append(f"requires-python = {_string(str(lock.requires_python))}")
    lines.append('created-by = "esker"')
    if not lock.packages:
        lines.append("packages = []")
    kept = [each if each.name in build else dataclasses.replace(each, sdist=None) for each in lock.packages]
    packages = sorted(kept, key=lambda p: (p.name, str(p.version), str(p.marker)))
    for package in packages:
        lines += ["", "[[packages]]", *package_lines(package)]
    lines += ["", "[tool.esker]", f"inputs = {_string(made_from.digest())}"]
    if sealed:
        contents = _lines(packages, source_records(lock))
        lines.append(f"contents = {_string(_digest(contents, made_from))}")
        lines += _array("packages", contents)
    lines += _array("requirements", made_from.requirements)
    lines.append(f"python = {_string(made_from.python)}")
    lines += _array("systems", made_from.systems)
    lines += _array("build", made_from.build)
    lines += _array("indexes", made_from.indexes)
    lines += _array("settings", made_from.settings) if made_from.settings else []
    lines += _array("files", made_from.files) if made_from.files else []
    lines += [f"uv-lock = {_string(made_from.uv_lock)}"] if made_from.uv_lock else []
    if made_from.build_system:
        lines += _array("build-system", made_from.build_system)
    for name, table in sorted(_build_tables(lock).items()):
        lines += ["", f"[tool.esker.{_BUILD}.{_string(name)}]", *_array("requirements", table.requirements)]
        lines += [f"tree = {_string(table.tree)}"] if table.tree else []
    return "\n".join(lines) + "\n"


def _recorded(lock: Pylock) -> Mapping[str, Any] | None:
    recorded = (lock.tool or {}).get("esker")
    if recorded is not None and not isinstance(recorded, Mapping):
        raise InvalidLock(_NAME, [Problem("`tool.esker` is not a table", hint=_HINT)])
    return recorded


def _converted(recorded: Mapping[str, Any], kind: type[_T]) -> _T:
    """Return those of the recorded keys that `kind` has as fields."""
    fields = set(kind.__struct_encode_fields__)
    try:
        return msgspec.convert({key: value for key, value in recorded.items() if key in fields}, kind)
    except msgspec.ValidationError as error:
        raise InvalidLock(_NAME, [Problem(f"`tool.esker`: {error}", hint=_HINT)]) from error


def _lines(packages: Iterable[Package], records: Mapping[str, SourceRecord]) -> list[str]:
    """Return a line for each package, sorted: its name, its version, and the digest of what decides what is installed.

    Addresses and sizes do not count: they are hints, which may be changed to those of a mirror.
    """
    return sorted(f"{each.name} {each.version} {_sha256(_decisive(each, records))[:_SHORT]}" for each in packages)


def _decisive(package: Package, records: Mapping[str, SourceRecord]) -> list[Any]:
    files = [*(package.wheels or ()), *([package.sdist] if package.sdist else ())]
    decisive = [
        package.name,
        str(package.version),
        str(package.marker or ""),
        str(package.requires_python or ""),
        package.is_direct,
        sorted([file.filename, sorted(file.hashes.items())] for file in files),
    ]
    if package.vcs is not None:
        decisive.append(["vcs", package.vcs.type, package.vcs.commit_id, package.vcs.subdirectory])
    if package.directory is not None:
        place = package.directory
        decisive.append(["directory", place.path, bool(place.editable), place.subdirectory])
    if package.archive is not None:
        decisive.append(["archive", sorted(package.archive.hashes.items()), package.archive.subdirectory])
    if package.is_direct:
        built = [each for each in records.values() if each.source.partition(" ")[0] == package.name]
        decisive.append(sorted([each.source, each.tree, *each.build_requirements] for each in built))
    return decisive


def _digest(lines: Sequence[str], made_from: Inputs) -> str:
    return "sha256:" + _sha256([made_from.digest(), *lines])


def _names(lines: Iterable[str]) -> set[str]:
    return {line.partition(" ")[0] for line in lines}


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _array(key: str, values: Sequence[str]) -> list[str]:
    if len(values) <= 1:
        return [f"{key} = [{', '.join(map(_string, values))}]"]
    return [f"{key} = [", *(f"    {_string(value)}," for value in values), "]"]
