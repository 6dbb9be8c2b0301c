"""RECORD: the file in which the `.dist-info` of an installed wheel lists the wheel's files.

uv writes it anew as it installs. Paths are relative to site-packages, and may lead to other places in the environment.
Specification: packaging.python.org, "Recording installed projects".
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["INFO", "add", "entry", "forget", "infos", "recorded"]

INFO = ".dist-info"
"""How the names of the directories end that hold what is known of an installed wheel."""


def infos(libraries: str) -> dict[str, list[str]]:
    """Return the `.dist-info` directories with a RECORD in `libraries` (a site-packages), by normalised package name.

    A package has several where another wheel brings one of its name.
    """
    found: dict[str, list[str]] = {}
    for entry in sorted(os.listdir(libraries) if os.path.isdir(libraries) else ()):
        if entry.endswith(INFO) and os.path.isfile(f"{libraries}/{entry}/RECORD"):
            name = canonicalize_name(entry.removesuffix(INFO).rpartition("-")[0])
            found.setdefault(name, []).append(f"{libraries}/{entry}")
    return found


def recorded(info: str, prefix: str) -> set[str]:
    """Return the paths, relative to `prefix`, that the RECORD in `info` lists below it; none of a damaged one."""
    libraries = os.path.relpath(os.path.dirname(info), prefix)
    with open(f"{info}/RECORD", encoding="utf-8", errors="surrogateescape", newline="") as file:
        try:
            paths = {os.path.normpath(os.path.join(libraries, row[0])) for row in csv.reader(file) if row}
        except csv.Error:
            return set()
    return {path for path in paths if not path.startswith(("/", "../"))}


def forget(info: str, names: Iterable[str]) -> None:
    """Remove the files of these names from `info`, and from its RECORD."""
    gone = [name for name in names if os.path.isfile(f"{info}/{name}")]
    if not gone:
        return
    for name in gone:
        os.unlink(f"{info}/{name}")
    lines_of = tuple(f"{os.path.basename(info)}/{name},".encode() for name in gone)
    with open(f"{info}/RECORD", "rb") as file:
        kept = [line for line in file if not line.startswith(lines_of)]
    with open(f"{info}/RECORD", "wb") as file:
        file.writelines(kept)


def add(info: str, name: str, content: bytes) -> None:
    """Write a file into `info`, and into its RECORD."""
    with open(f"{info}/{name}", "xb") as file:
        file.write(content)
    with open(f"{info}/RECORD", "ab") as file:
        file.write(f"{os.path.basename(info)}/{name},{entry(content)}\n".encode())


def entry(content: bytes) -> str:
    """Return what a RECORD says of a file with this content, after its name: its hash and its size."""
    value = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"sha256={value},{len(content)}"
