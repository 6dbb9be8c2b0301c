"""The files of a lock that are installed on this machine."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from packaging.pylock import PackageSdist, PackageWheel, Pylock, PylockSelectError
from packaging.tags import Tag, compatible_tags, cpython_tags

from esker.errors import RealisationFailed
from esker.lock.source_trees import SourceTree, identity
from esker.realise.source_builds import DirectWheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.host.interpreters import Interpreter

__all__ = ["Artifact", "hashes_of", "requirement", "selected_artifacts"]

_HASHES = {f"sha{bits}": re.compile(rf"[0-9a-fA-F]{{{bits // 4}}}") for bits in (256, 384, 512)}
_WITHOUT_M = (3, 8)
"""The first Python whose ABI has no `m` in its name."""

Artifact = tuple[str, str, PackageWheel | PackageSdist | SourceTree | DirectWheel]
"""A package's normalised name, its version, and what is installed for it on this platform.

The version of what comes from a source is empty: only its build tells it.
"""


def selected_artifacts(
    lock: Pylock,
    interpreter: Interpreter,
    build: Sequence[str] = (),
    sources: Mapping[str, SourceTree] = MappingProxyType({}),
    platforms: Sequence[str] | None = None,
) -> tuple[Artifact, ...]:
    """Return the files that `lock` installs for `interpreter`, sorted by name.

    `platforms` are the platform tags that wheels may have, the best first; None means those of this machine.

    Packages named in `build` are installed from a source distribution where the lock has one; those that do not come
    from an index are among `sources`, by what `identity` gives for each.
    """
    try:
        chosen = list(
            lock.select(
                environment=interpreter.markers,  # type: ignore[arg-type]  # a plain dict of the marker variables
                tags=list(_tags(interpreter, platforms)),
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
        if identity(package) in sources:
            artifacts.append((package.name, str(package.version or ""), sources[identity(package)]))
            continue
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
    asked = f"{name} @ {file.address}" if isinstance(file, DirectWheel) else f"{name}=={version}"
    return f"{asked} {' '.join(f'--hash={kind}:{value}' for kind, value in hashes_of(file))}\n"


def hashes_of(file: PackageWheel | PackageSdist | SourceTree | DirectWheel) -> list[tuple[str, str]]:
    """Return the well-formed SHA-2 hashes; a malformed one could smuggle options into the file that uv reads."""
    return [
        (kind, value)
        for kind, value in sorted(file.hashes.items())
        if kind in _HASHES and _HASHES[kind].fullmatch(value)
    ]


def _tags(interpreter: Interpreter, platforms: Sequence[str] | None) -> Iterator[Tag]:
    version = interpreter.release
    name = f"cp{version[0]}{version[1]}"
    # Without its ABI, that of the Python that runs this would be taken, which may be another build.
    yield from cpython_tags(version, [f"{name}m" if version < _WITHOUT_M else name], platforms)
    yield from compatible_tags(version, name, platforms)
