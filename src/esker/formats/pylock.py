"""pylock.toml: the locked Python packages of an environment (PEP 751), and how Esker writes it.

The file names every package with its version, the marker under which it is installed, and its wheels with their
SHA-256. `packaging.pylock` reads, validates and selects. This module adds a writer, which always gives the same bytes
for the same lock, and the table `[tool.esker]`, which records the inputs that the lock was made from and, below
`build-requirements`, what has to be there to build the project itself.

Oddities: we write no header (it would hold a command line) and no comments. The order of keys is fixed; packages are
sorted by name and wheels by file name. A source distribution is kept only for a package that may be built. URLs carry
no credentials and are only hints, because the hash decides. A wheel's name is left out if its URL ends with it.

Specification: PEP 751, packaging.python.org/en/latest/specifications/pylock-toml.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockValidationError

from esker.errors import InvalidLock, Problem
from esker.formats.untrusted import toml_table
from esker.formats.urls import redact

__all__ = ["Inputs", "Pylock", "build_requirements", "inputs", "parse", "render", "with_build_requirements"]

_BUILD = "build-requirements"
_NOT_INPUTS = {"inputs", _BUILD}


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

    def digest(self) -> str:
        """Return the hash of the inputs, as `sha256:<hex>`."""
        fields = msgspec.to_builtins(self)
        if not self.build_system:  # as in locks from before there was such a key
            del fields["build-system"]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def parse(text: str, path: str = "pylock.toml") -> Pylock:
    """Read a lock; raise InvalidLock if it is not valid TOML or violates PEP 751."""
    hint = "remove the file, then make it again: esker lock"
    try:
        return Pylock.from_dict({"packages": [], **toml_table(text)})  # uv leaves an empty list out
    except PylockValidationError as error:
        raise InvalidLock(path, [Problem(f"not a lock of PEP 751: {error}", hint=hint)]) from error
    except ValueError as error:
        raise InvalidLock(path, [Problem(f"not TOML: {error}", hint=hint)]) from error


def inputs(lock: Pylock, path: str = "pylock.toml") -> Inputs | None:
    """Return the inputs that `lock` was made from, or None if another tool made it.

    Raises InvalidLock if the recorded digest does not match the recorded inputs.
    """
    recorded = (lock.tool or {}).get("esker")
    if recorded is None:
        return None
    hint = "remove the file, then make it again: esker lock"
    if not isinstance(recorded, Mapping):
        raise InvalidLock(path, [Problem("`tool.esker` is not a table", hint=hint)])
    try:
        made_from = msgspec.convert({key: value for key, value in recorded.items() if key not in _NOT_INPUTS}, Inputs)
    except msgspec.ValidationError as error:
        raise InvalidLock(path, [Problem(f"`tool.esker`: {error}", hint=hint)]) from error
    if recorded.get("inputs") != made_from.digest():
        message = "`tool.esker.inputs` is not the digest of the other keys of `tool.esker`"
        raise InvalidLock(path, [Problem(message, hint=hint)])
    return made_from


def build_requirements(lock: Pylock, path: str = "pylock.toml") -> dict[str, tuple[str, ...]]:
    """Return the locked build requirements of each package that is built here, as lines of a requirements file."""
    recorded = (lock.tool or {}).get("esker")
    tables = recorded.get(_BUILD, {}) if isinstance(recorded, Mapping) else {}
    try:
        locked = msgspec.convert(tables, dict[str, _BuildRequirements])
    except msgspec.ValidationError as error:
        hint = "remove the file, then make it again: esker lock"
        raise InvalidLock(path, [Problem(f"`tool.esker.{_BUILD}`: {error}", hint=hint)]) from error
    return {name: table.requirements for name, table in locked.items()}


def with_build_requirements(lock: Pylock, lines: Mapping[str, Sequence[str]]) -> Pylock:
    """Return `lock` with the locked build requirements of the named packages."""
    tables = {name: {"requirements": list(each)} for name, each in lines.items() if each}
    esker = {**(lock.tool or {}).get("esker", {}), _BUILD: tables}
    return dataclasses.replace(lock, tool={**(lock.tool or {}), "esker": esker})


class _BuildRequirements(msgspec.Struct, frozen=True):
    requirements: tuple[str, ...]


def render(lock: Pylock, made_from: Inputs, *, build: Collection[str] = ()) -> str:
    """Return the text of a lock; only the packages named in `build` keep their source distributions."""
    lines = ['lock-version = "1.0"']
    if lock.environments:
        lines += _array("environments", [str(marker) for marker in lock.environments])
    if lock.requires_python is not None:
        lines.append(f"requires-python = {_string(str(lock.requires_python))}")
    lines.append('created-by = "esker"')
    if not lock.packages:
        lines.append("packages = []")
    for package in sorted(lock.packages, key=lambda p: (p.name, str(p.version), str(p.marker))):
        lines += ["", "[[packages]]", *_package(package, keep_source=package.name in build)]
    lines += ["", "[tool.esker]", f"inputs = {_string(made_from.digest())}"]
    lines += _array("requirements", made_from.requirements)
    lines.append(f"python = {_string(made_from.python)}")
    lines += _array("systems", made_from.systems)
    lines += _array("build", made_from.build)
    lines += _array("indexes", made_from.indexes)
    if made_from.build_system:
        lines += _array("build-system", made_from.build_system)
    for name, requirements in sorted(build_requirements(lock).items()):
        lines += ["", f"[tool.esker.{_BUILD}.{_string(name)}]", *_array("requirements", requirements)]
    return "\n".join(lines) + "\n"


def _package(package: Package, *, keep_source: bool) -> Iterator[str]:
    yield f"name = {_string(package.name)}"
    if package.version is not None:
        yield f"version = {_string(str(package.version))}"
    if package.marker is not None:
        yield f"marker = {_string(str(package.marker))}"
    if package.requires_python is not None:
        yield f"requires-python = {_string(str(package.requires_python))}"
    if package.index is not None:
        yield f"index = {_string(redact(package.index))}"
    if package.sdist is not None and keep_source:
        yield f"sdist = {_artifact(package.sdist)}"
    if package.wheels:
        yield "wheels = ["
        yield from (f"    {_artifact(wheel)}," for wheel in sorted(package.wheels, key=lambda wheel: wheel.filename))
        yield "]"


def _artifact(artifact: PackageSdist | PackageWheel) -> str:
    url = redact(artifact.url or "")
    fields: list[tuple[str, Any]] = []
    if url.rpartition("/")[2] != artifact.filename:
        fields.append(("name", _string(artifact.filename)))
    fields.append(("url", _string(url)))
    if artifact.size is not None:
        fields.append(("size", artifact.size))
    hashes = ", ".join(f"{name} = {_string(value)}" for name, value in sorted(artifact.hashes.items()))
    fields.append(("hashes", f"{{ {hashes} }}"))
    return "{ " + ", ".join(f"{key} = {value}" for key, value in fields) + " }"


def _array(key: str, values: Sequence[str]) -> list[str]:
    if len(values) <= 1:
        return [f"{key} = [{', '.join(map(_string, values))}]"]
    return [f"{key} = [", *(f"    {_string(value)}," for value in values), "]"]


def _string(value: str) -> str:
    """Return a TOML basic string. JSON's escapes are valid in TOML, but TOML also requires one for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
