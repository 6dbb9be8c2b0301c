"""pylock.toml: the locked Python packages of an environment (PEP 751), and how Esker writes it.

The file names every package with its version, the marker under which it is installed, and its wheels with their
SHA-256. `packaging.pylock` reads, validates and selects. This module adds a writer, which always gives the same bytes
for the same lock, and the table `[tool.esker]`, which records the inputs that the lock was made from.

Oddities: we write no header (it would hold a command line) and no comments. The order of keys is fixed; packages are
sorted by name and wheels by file name. A source distribution is kept only for a package that may be built. URLs carry
no credentials and are only hints, because the hash decides. A wheel's name is left out if its URL ends with it.

A package from a repository (`vcs`), a directory or an archive has no wheel whose hash could be locked. What it is built
from stands in `[[tool.esker.sources]]`: the hash of a repository's tree, and the requirements of its build backend.

Specification: PEP 751, packaging.python.org/en/latest/specifications/pylock-toml.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockValidationError,
)
from packaging.requirements import InvalidRequirement, Requirement

from esker.errors import InvalidLock, Problem
from esker.formats.toml_values import string as _string
from esker.formats.untrusted import toml_table
from esker.formats.urls import redact, redact_repository

__all__ = ["Inputs", "Pylock", "SourceRecord", "inputs", "parse", "render", "source_records", "with_source_records"]

_HINT = "remove the file, then make it again: esker lock"
_LATER = ("settings", "files")
"""Inputs that earlier versions of Esker did not know: where they are empty, the digest is what it was."""
_LOCKED = re.compile(r"(?P<requirement>[^\r\n]+?)(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)")
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
    settings: tuple[str, ...] = ()
    """What `[tool.uv]` of the project says, one line an entry, sorted and without credentials."""
    files: tuple[str, ...] = ()
    """Names of path dependencies, each with the hash of its metadata."""

    def digest(self) -> str:
        """Return the hash of the inputs, as `sha256:<hex>`."""
        values = {key: value for key, value in msgspec.to_builtins(self).items() if value or key not in _LATER}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a package without wheels is built from, besides its own code."""

    source: str
    """The package's normalised name, and the commit, path or address that it comes from."""
    tree: str = ""
    """The hash of the tree of a repository's commit, in hexadecimal; empty for other sources."""
    build_requirements: tuple[str, ...] = ()
    """Lines as in a requirements.txt: `NAME==VERSION ; MARKER --hash=sha256:…`."""


def parse(text: str, path: str = "pylock.toml") -> Pylock:
    """Read a lock; raise InvalidLock if it is not valid TOML or violates PEP 751."""
    try:
        return Pylock.from_dict({"packages": [], **toml_table(text)})  # uv leaves an empty list out
    except PylockValidationError as error:
        raise InvalidLock(path, [Problem(f"not a lock of PEP 751: {error}", hint=_HINT)]) from error
    except ValueError as error:
        raise InvalidLock(path, [Problem(f"not TOML: {error}", hint=_HINT)]) from error


def inputs(lock: Pylock, path: str = "pylock.toml") -> Inputs | None:
    """Return the inputs that `lock` was made from, or None if another tool made it.

    Raises InvalidLock if the recorded digest does not match the recorded inputs.
    """
    recorded = (lock.tool or {}).get("esker")
    if recorded is None:
        return None
    if not isinstance(recorded, Mapping):
        raise InvalidLock(path, [Problem("`tool.esker` is not a table", hint=_HINT)])
    try:
        made_from = msgspec.convert({key: value for key, value in recorded.items() if key != "inputs"}, Inputs)
    except msgspec.ValidationError as error:
        raise InvalidLock(path, [Problem(f"`tool.esker`: {error}", hint=_HINT)]) from error
    if recorded.get("inputs") != made_from.digest():
        message = "`tool.esker.inputs` is not the digest of the other keys of `tool.esker`"
        raise InvalidLock(path, [Problem(message, hint=_HINT)])
    return made_from


def source_records(lock: Pylock, path: str = "pylock.toml") -> dict[str, SourceRecord]:
    """Return what `lock` records of the packages that are built, by `source`; raises InvalidLock.

    The lines reach a file of uv's, so no line passes that could hold an option.
    """
    table = (lock.tool or {}).get("esker")
    recorded = table.get("sources", []) if isinstance(table, Mapping) else []
    try:
        records = msgspec.convert(recorded, list[SourceRecord])
    except msgspec.ValidationError as error:
        raise InvalidLock(path, [Problem(f"`tool.esker.sources`: {error}", hint=_HINT)]) from error
    for record in records:
        faulty = [line for line in record.build_requirements if not _is_pinned(line)]
        if faulty or not _TREE.fullmatch(record.tree):
            message = f"`tool.esker.sources` of `{record.source}` has `{(faulty or [record.tree])[0]}`"
            raise InvalidLock(path, [Problem(message, hint=_HINT)])
    return {record.source: record for record in records}


def with_source_records(lock: Pylock, records: Iterable[SourceRecord]) -> Pylock:
    """Return `lock` with these records, which `render` writes."""
    return replace(lock, tool={"esker": {"sources": [msgspec.to_builtins(record) for record in records]}})


def _is_pinned(line: str) -> bool:
    match = _LOCKED.fullmatch(line)
    if match is None:
        return False
    try:
        requirement = Requirement(match["requirement"])
    except InvalidRequirement:
        return False
    is_plain = requirement.url is None and " -" not in match["requirement"]
    return is_plain and re.fullmatch(r"==[^*,]+", str(requirement.specifier)) is not None


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
    lines += _array("settings", made_from.settings) if made_from.settings else []
    lines += _array("files", made_from.files) if made_from.files else []
    for record in sorted(source_records(lock).values(), key=lambda record: record.source):
        lines += ["", "[[tool.esker.sources]]", f"source = {_string(record.source)}"]
        lines += [f"tree = {_string(record.tree)}"] if record.tree else []
        lines += _array("build-requirements", record.build_requirements)
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
    if package.vcs is not None:
        yield f"vcs = {_repository(package.vcs)}"
    if package.directory is not None:
        yield f"directory = {_directory(package.directory)}"
    if package.archive is not None:
        yield f"archive = {_archive(package.archive)}"
    if package.sdist is not None and keep_source:
        yield f"sdist = {_artifact(package.sdist)}"
    if package.wheels:
        yield "wheels = ["
        yield from (f"    {_artifact(wheel)}," for wheel in sorted(package.wheels, key=lambda wheel: wheel.filename))
        yield "]"


def _artifact(artifact: PackageSdist | PackageWheel) -> str:
    url = redact(artifact.url or "")
    return _fields(
        ("name", None if url.rpartition("/")[2] == artifact.filename else _string(artifact.filename)),
        ("url", _string(url)),
        ("size", artifact.size),
        ("hashes", _hashes(artifact.hashes)),
    )


def _repository(vcs: PackageVcs) -> str:
    return _fields(
        ("type", _string(vcs.type)),
        ("url", vcs.url and _string(redact_repository(vcs.url))),
        ("path", vcs.path and _string(vcs.path)),
        ("requested-revision", vcs.requested_revision and _string(vcs.requested_revision)),
        ("commit-id", _string(vcs.commit_id)),
        ("subdirectory", vcs.subdirectory and _string(vcs.subdirectory)),
    )


def _directory(directory: PackageDirectory) -> str:
    return _fields(
        ("path", _string(directory.path)),
        ("editable", "true" if directory.editable else None),
        ("subdirectory", directory.subdirectory and _string(directory.subdirectory)),
    )


def _archive(archive: PackageArchive) -> str:
    return _fields(
        ("url", archive.url and _string(redact(archive.url))),
        ("path", archive.path and _string(archive.path)),
        ("size", archive.size),
        ("subdirectory", archive.subdirectory and _string(archive.subdirectory)),
        ("hashes", _hashes(archive.hashes)),
    )


def _fields(*fields: tuple[str, object]) -> str:
    """Return an inline table of the fields that have a value, which is TOML already."""
    return "{ " + ", ".join(f"{key} = {value}" for key, value in fields if value is not None) + " }"


def _hashes(hashes: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{name} = {_string(value)}" for name, value in sorted(hashes.items())) + " }"


def _array(key: str, values: Sequence[str]) -> list[str]:
    if len(values) <= 1:
        return [f"{key} = [{', '.join(map(_string, values))}]"]
    return [f"{key} = [", *(f"    {_string(value)}," for value in values), "]"]
