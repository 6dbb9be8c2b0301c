"""pylock.toml: the locked Python packages of an environment (PEP 751), and how Esker writes it.

The file names every package with its version, the marker under which it is wanted, and its wheels with their SHA-256.
Reading, validation and selection are `packaging.pylock`'s; this module adds one way to write the file, so that the same
lock is always the same bytes, and the table `[tool.esker]`, which says from which inputs the lock was made.

Oddities: no header and no comment is written (a header would hold a command line); keys stand in one order, packages by
name, wheels by file name; a source distribution is kept only for a package that may be built; URLs carry no credentials
and are hints, the hash decides; the name of a wheel is left out where it is the last part of its URL.

Specification: PEP 751, packaging.python.org/en/latest/specifications/pylock-toml.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockValidationError

from esker.errors import InvalidLock, Problem
from esker.formats.urls import redact

__all__ = ["Inputs", "Pylock", "inputs", "parse", "render"]


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock was made from; equal inputs need no new resolution."""

    requirements: tuple[str, ...]
    """PEP 508, sorted, as declared."""
    python: str
    """The specifier of the interpreter, empty when none was declared."""
    systems: tuple[str, ...]
    build: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    """Indexes added to the default one, without credentials."""

    def digest(self) -> str:
        """Return `sha256:` and the hash of the inputs."""
        text = json.dumps(msgspec.to_builtins(self), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def parse(text: str, path: str = "pylock.toml") -> Pylock:
    """Read a lock; what PEP 751 refuses is an `InvalidLock` naming the entry."""
    import tomllib

    hint = "make it again: esker lock, after removing the file"
    try:
        return Pylock.from_dict({"packages": [], **tomllib.loads(text)})  # uv leaves an empty list out
    except tomllib.TOMLDecodeError as error:
        raise InvalidLock(path, [Problem(f"not TOML: {error}", hint=hint)]) from error
    except (PylockValidationError, ValueError, RecursionError) as error:
        raise InvalidLock(path, [Problem(f"not a lock of PEP 751: {error}", hint=hint)]) from error


def inputs(lock: Pylock, path: str = "pylock.toml") -> Inputs | None:
    """Return what `lock` was made from, or None where another tool made it; a digest that does not fit is refused."""
    recorded = (lock.tool or {}).get("esker")
    if recorded is None:
        return None
    hint = "make it again: esker lock, after removing the file"
    if not isinstance(recorded, Mapping):
        raise InvalidLock(path, [Problem("`tool.esker` is not a table", hint=hint)])
    try:
        found = msgspec.convert({key: value for key, value in recorded.items() if key != "inputs"}, Inputs)
    except msgspec.ValidationError as error:
        raise InvalidLock(path, [Problem(f"`tool.esker`: {error}", hint=hint)]) from error
    if recorded.get("inputs") != found.digest():
        raise InvalidLock(path, [Problem("`tool.esker.inputs` is not the digest of the inputs beside it", hint=hint)])
    return found


def render(lock: Pylock, made_from: Inputs, *, build: Collection[str] = ()) -> str:
    """Write a lock: the same lock is always the same text; source distributions are kept for the names in `build`."""
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
    """Return a TOML basic string; JSON's escapes are a subset of TOML's but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
