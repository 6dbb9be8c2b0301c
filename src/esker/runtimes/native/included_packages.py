"""Packages that an environment has because another one, which it includes, declares them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from esker.declare.conda_edit import CONDA
from esker.declare.edit import ORIGIN
from esker.declare.layers import lock_of
from esker.errors import IncludedPackage, InvalidLock
from esker.formats import lockfile
from esker.formats.conda.specs import package_of_spec
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from esker.formats.manifest import Manifest

__all__ = ["check_not_included", "including"]


def including(project: str, names: Iterable[str]) -> dict[str, str]:
    """Return which included environment each package comes from, for those of `names` that come from one.

    A name is an install id, or a Python or conda package's, with or without its origin. The highest layer counts.
    """
    path = lock_of(project)
    try:
        compose = lockfile.parse(files.read(path), path).compose if os.path.exists(path) else None
    except InvalidLock:
        return {}
    origins = {
        name: include.name for include in (compose.include if compose else ()) for name in _names(include.manifest)
    }
    return {name: origins[key] for name in names if (key := _plain(name)) in origins}


def check_not_included(project: str, names: Iterable[str]) -> None:
    """Raise IncludedPackage if an included environment declares one of these packages, which nothing else does."""
    for name, environment in including(project, names).items():
        raise IncludedPackage(
            f"Cannot remove included package '{name}'",
            hint=f"remove it from environment '{environment}', and then: esker include upgrade {environment}",
            environment=environment,
        )


def _plain(name: str) -> str:
    word = name.removeprefix(ORIGIN).removeprefix(CONDA)
    try:
        return canonicalize_name(Requirement(word).name)
    except InvalidRequirement:
        return package_of_spec(word) or word


def _names(manifest: Manifest) -> Iterator[str]:
    yield from map(_plain, manifest.install)
    table = manifest.plugins.get("esker")
    for kind in ("python", "conda"):
        inner = table.get(kind) if isinstance(table, Mapping) else None
        entries = inner.get("dependencies") if isinstance(inner, Mapping) else None
        for entry in entries if isinstance(entries, list) else ():
            yield _plain(str(entry.get("spec") if isinstance(entry, Mapping) else entry))
