"""Which locked package needs which other one: `dependencies` in pylock.toml (PEP 751), from uv's own lock.

uv's export leaves them out. An edge has the other package's name, and its version where the lock has several of that
name. What needs it only with an extra that is asked for somewhere has the edge too.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.pylock import Pylock

    from esker.formats.uv_lock import UvLock

__all__ = ["with_edges"]


def with_edges(lock: Pylock, uv_lock: UvLock) -> Pylock:
    """Return `lock` with the edges of the uv.lock that it was exported from."""
    count = Counter[str](package.name for package in lock.packages)
    edges: dict[tuple[str, str | None], list[dict[str, str]]] = {}
    direct = {package.name for package in lock.packages if package.is_direct}
    for package in uv_lock.packages:
        needed = {
            (entry.name, entry.version if count[entry.name] > 1 else None)
            for entry in package.needed()
            if count[entry.name] and entry.name != package.name
        }
        # What comes from a directory has a version in uv's lock at times, and never in the export.
        edges[package.name, None if package.name in direct else package.version] = [
            {"name": name} | ({"version": version} if version else {})
            for name, version in sorted(needed, key=lambda edge: (edge[0], edge[1] or ""))
        ]
    packages = [
        dataclasses.replace(
            each, dependencies=edges.get((each.name, None if each.name in direct else str(each.version))) or None
        )
        for each in lock.packages
    ]
    return dataclasses.replace(lock, packages=packages)
