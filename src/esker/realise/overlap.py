"""Which installed wheels bring different files of one name, as their RECORD files tell.

The order in which uv installs is not fixed, so that what such a file holds would differ from one build to the next.
"""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["overlapping"]

_INFO = ".dist-info"


def overlapping(libraries: str) -> tuple[str, ...]:
    """Return the names of the wheels below `libraries` (a site-packages) that others overwrote, or the reverse."""
    claims: dict[str, dict[str, str]] = {}
    for entry in os.listdir(libraries):
        if entry.endswith(_INFO) and os.path.isfile(f"{libraries}/{entry}/RECORD"):
            name = canonicalize_name(entry.removesuffix(_INFO).rpartition("-")[0])
            for path, digest in _recorded(f"{libraries}/{entry}/RECORD"):
                claims.setdefault(os.path.normpath(path), {})[name] = digest
    return tuple(sorted({name for found in claims.values() if len(set(found.values())) > 1 for name in found}))


def _recorded(path: str) -> Iterator[tuple[str, str]]:
    """Yield path and hash of every file that a wheel brought."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if row:
                yield row[0], row[1]
