"""The headers of byte code that packages ship: its source's time becomes a hash that Python does not check.

A store gives every file the same time, by which Python would take all such byte code for stale, at every start. The
header has 16 bytes: a magic number, flags, and either time and size of the source (flags 0) or its hash (flags 1 if it
is not checked). Specification: PEP 552.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["cached", "make_unchecked"]

_HEADER = 16
_BY_TIME = (0).to_bytes(4, "little")
_UNCHECKED = (1).to_bytes(4, "little")
_WORD = 0xFFFFFFFF
_CACHE = "__pycache__"


def cached(path: str) -> str | None:
    """Return the path of the module that the byte code at `path` was compiled from, or None if it is something else.

    >>> cached("lib/__pycache__/os.cpython-311.pyc")
    'lib/os.py'
    """
    directory, _, name = path.rpartition("/")
    above, _, last = directory.rpartition("/")
    if not name.endswith(".pyc") or last != _CACHE:
        return None
    module = f"{name.partition('.')[0]}.py"
    return f"{above}/{module}" if above else module


def make_unchecked(directory: str, statuses: Mapping[str, os.stat_result], replaced: Collection[str]) -> None:
    """Change the headers of all byte code below `directory` whose source is there, in the state that the header has.

    `statuses` has the status of each file, as it was unpacked. The sources in `replaced` will change, so their byte
    code stays as it is: stale.
    """
    for path, status in statuses.items():
        source = cached(path)
        if source is None or source in replaced or not stat.S_ISREG(status.st_mode):
            continue
        of_source = statuses.get(source)
        if of_source is not None and stat.S_ISREG(of_source.st_mode):
            _rewrite(f"{directory}/{path}", status, f"{directory}/{source}", of_source)


def _rewrite(path: str, status: os.stat_result, source: str, of_source: os.stat_result) -> None:
    from _imp import source_hash

    with open(path, "rb") as file:
        header = file.read(_HEADER)
    state = (int(of_source.st_mtime) & _WORD).to_bytes(4, "little") + (of_source.st_size & _WORD).to_bytes(4, "little")
    if header[4:] != _BY_TIME + state:
        return
    with open(source, "rb") as file:
        hashed = source_hash(int.from_bytes(header[:4], "little"), file.read())
    os.chmod(path, status.st_mode | stat.S_IWUSR)
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(_UNCHECKED + hashed)
