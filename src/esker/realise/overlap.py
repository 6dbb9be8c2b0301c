"""Which installed wheels bring different files under one name, according to their RECORD files.

uv installs wheels in no fixed order, so the content of such a file would differ from one build to the next.
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
    """Return the names of the wheels in `libraries` (a site-packages) that bring different files under one name."""
    claims: dict[str, dict[str, str]] = {}
    for entry in os.listdir(libraries):
        if entry.endswith(_INFO) and os.path.isfile(f"{libraries}/{entry}/RECORD"):
            name = canonicalize_name(entry.removesuffix(_INFO).rpartition("-")[0])
            for path, digest in _recorded(f"{libraries}/{entry}/RECORD"):
                claims.setdefault(os.path.normpath(path), {})[name] = digest
    return tuple(sorted({name for digests in claims.values() if len(set(digests.values())) > 1 for name in digests}))


def _recorded(path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and hash of each file that a RECORD lists."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if row:
                yield row[0], row[1]
