"""Requirements files as something that changes: which files decide what one of them installs.

A line `-r FILE` or `-c FILE` names another such file, and `-e DIRECTORY` a project, which declares what it needs in files
of its own. Paths are relative to the file that names them. Other lines do not matter here: uv reads them.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PROJECT_FILES", "deciding_files"]

PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
"""The files by which a project declares what it needs."""
_MOST = 100
_LARGEST = 1 << 20
"""Bytes of one file that are looked at."""
_NAMED = re.compile(
    r"^[ \t]*(?:(?:-r|-c|--requirements?|--constraints?)|(?P<project>-e|--editable))(?:[ \t]*=[ \t]*|[ \t]*)"
    r"(?P<path>[^\s#=][^#\n]*?)[ \t]*(?:[ \t]#.*)?$",
    re.MULTILINE,
)


def deciding_files(paths: Iterable[str]) -> list[str]:
    """Return these files (absolute), and those that they name, directly or not; some need not exist."""
    found = dict.fromkeys(paths)
    waiting = list(found)
    while waiting and len(found) < _MOST:
        path = waiting.pop(0)
        for match in _NAMED.finditer(_text(path)):
            named = os.path.normpath(os.path.join(os.path.dirname(path), match["path"].strip("'\"")))
            new = [f"{named}/{name}" for name in PROJECT_FILES] if match["project"] else [named]
            waiting += () if match["project"] else [each for each in new if each not in found]
            found.update(dict.fromkeys(new))
    return list(found)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace", opener=files.plain) as file:
            return file.read(_LARGEST)
    except OSError:
        return ""
