"""The files of a lock that are installed on this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.pylock import PackageSdist, PackageWheel, Pylock, PylockSelectError
from packaging.tags import Tag, compatible_tags, cpython_tags

from esker.errors import RealisationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.host.interpreters import Interpreter

__all__ = ["Artifact", "hashes_of", "requirement", "selected_artifacts"]

_HASHES = {f"sha{bits}": re.compile(rf"[0-9a-fA-F]{{{bits // 4}}}") for bits in (256, 384, 512)}

Artifact = tuple[str, str, PackageWheel | PackageSdist]
"""A package's normalised name, its version, and the file that is installed for it on this platform."""


def selected_artifacts(lock: Pylock, interpreter: Interpreter, build: Sequence[str] = ()) -> tuple[Artifact, ...]:
    """Return the files that `lock` installs for `interpreter`, sorted by name.

    Packages named in `build` are installed from a source distribution where the lock has one.
    """
    try:
        chosen = list(
            lock.select(
                environment=interpreter.markers,  # type: ignore[arg-type]  # a plain dict of the marker variables
                tags=list(_tags(interpreter)),
                prefer_sdist_predicate=lambda name: name in build,
            )
        )
    except PylockSelectError as error:
        raise RealisationFailed(
            f"the lock cannot be installed for Python {interpreter.version} ({interpreter.platform}): {error}",
            hint="its wheels may need another Python or a newer system: ask for another version; "
            "or declare this system in `options.systems`, then: esker lock",
        ) from error
    artifacts: list[Artifact] = []
    for package, artifact in chosen:
        if not isinstance(artifact, PackageWheel | PackageSdist) or package.version is None:
            raise RealisationFailed(
                f"`{package.name}` is locked to an address, not to a version in an index",
                hint="remove `.flox/pylock.toml`, then: esker lock",
            )
        if not hashes_of(artifact):
            raise RealisationFailed(
                f"`{package.name}` is locked without a SHA-2 hash", hint="remove `.flox/pylock.toml`, then: esker lock"
            )
        artifacts.append((package.name, str(package.version), artifact))
    return tuple(sorted(artifacts, key=lambda item: item[0]))


def requirement(artifact: Artifact) -> str:
    """Return the line of a requirements file that allows this file alone."""
    name, version, file = artifact
    return f"{name}=={version} {' '.join(f'--hash={kind}:{value}' for kind, value in hashes_of(file))}\n"


def hashes_of(file: PackageWheel | PackageSdist) -> list[tuple[str, str]]:
    """Return the well-formed SHA-2 hashes; a malformed one could smuggle options into the file that uv reads."""
    return [
        (kind, value)
        for kind, value in sorted(file.hashes.items())
        if kind in _HASHES and _HASHES[kind].fullmatch(value)
    ]


def _tags(interpreter: Interpreter) -> Iterator[Tag]:
    version = interpreter.release
    yield from cpython_tags(version)
    yield from compatible_tags(version, f"cp{version[0]}{version[1]}")
