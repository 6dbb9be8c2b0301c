"""One package of a pylock.toml as text: always the same bytes for the same package (see `pylock`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.version import Version

from esker.formats.toml_values import string as _string
from esker.formats.urls import redact, redact_repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.pylock import Package, PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel

__all__ = ["package_lines"]


def package_lines(package: Package) -> Iterator[str]:
    """Yield the lines of one package, below `[[packages]]`; URLs have no credentials."""
    yield f"name = {_string(package.name)}"
    if package.version is not None:
        yield f"version = {_string(str(package.version))}"
    if package.marker is not None:
        yield f"marker = {_string(str(package.marker))}"
    if package.requires_python is not None:
        yield f"requires-python = {_string(str(package.requires_python))}"
    if package.dependencies:
        yield "dependencies = ["
        yield from (f"    {_edge(edge)}," for edge in package.dependencies)
        yield "]"
    if package.index is not None:
        yield f"index = {_string(redact(package.index))}"
    yield from _source(package)
    if package.sdist is not None:
        yield f"sdist = {_artifact(package.sdist)}"
    if package.wheels:
        yield "wheels = ["
        yield from (f"    {_artifact(wheel)}," for wheel in sorted(package.wheels, key=lambda wheel: wheel.filename))
        yield "]"


def _source(package: Package) -> Iterator[str]:
    if package.vcs is not None:
        yield f"vcs = {_repository(package.vcs)}"
    if package.directory is not None:
        yield f"directory = {_directory(package.directory)}"
    if package.archive is not None:
        yield f"archive = {_archive(package.archive)}"


def _edge(edge: Mapping[str, Any]) -> str:
    """Return a reference to another package, by the keys that other tools may have written too."""
    texts = [f"{key} = {_string(str(value))}" for key, value in edge.items() if isinstance(value, str | Version)]
    return f"{{ {', '.join(texts)} }}"


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
