"""What tells that the metadata of a package in a directory may have changed: what is behind its `tool.uv.cache-keys`.

Variables, `{ env = NAME }`, do not count: their values could be secrets, and a hash of them would stand in the lock. A
directory may take packages from further directories by its own `[tool.uv.sources]`; they count too.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from esker.errors import EskerError, InvalidFile
from esker.formats.syntax import read_toml
from esker.formats.untrusted import LARGEST_MANIFEST
from esker.host import files
from esker.lock.cache_keys import CacheKey, cache_keys, digest, watched
from esker.lock.pyproject import table_of
from esker.lock.uv_sources import Source, from_table

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["directory_sources", "metadata_digest", "metadata_files", "metadata_keys"]


def directory_sources(sources: Iterable[Source]) -> dict[str, Source]:
    """Return the sources that are directories, by name, and those that these directories name in turn."""
    found: dict[str, Source] = {}
    pending = list(sources)
    while pending:
        source = pending.pop(0)
        if source.kind != "path" or source.name in found or not os.path.isdir(source.address):
            continue
        found[source.name] = source
        table = _uv_table(source.address).get("sources")
        for name, value in (table if isinstance(table, dict) else {}).items():
            pending += [each for each in from_table(name, value, source.address, ()) if isinstance(each, Source)]
    return found


def metadata_files(directory: str) -> list[str]:
    """Return the paths whose status tells whether the metadata may have changed; some may be missing."""
    return watched(directory, metadata_keys(directory))


def metadata_digest(directory: str) -> str:
    """Return a hash of what decides whether the metadata has changed, as `sha256:<hex>`."""
    return f"sha256:{digest(directory, metadata_keys(directory), {})}"


def metadata_keys(directory: str) -> tuple[CacheKey, ...]:
    """Return what a change of makes the metadata of the package in a directory change."""
    declared = _uv_table(directory).get("cache-keys")
    return tuple(key for key in cache_keys(declared, f"{directory}/pyproject.toml") if key.kind != "env")


def _uv_table(directory: str) -> dict[str, Any]:
    """Return `[tool.uv]` of the pyproject.toml in a directory; empty if there is none that can be read."""
    path = f"{directory}/pyproject.toml"
    with suppress(EskerError):
        if os.path.isfile(path):
            return table_of(read_toml(files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST), path), "tool", "uv")
    return {}
