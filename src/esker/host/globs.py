"""Patterns of paths that a project names, as `glob` reads them, in trees that may be anybody's.

Unlike there, `**` goes through no link: two links to the directory that they lie in are enough for `glob` to go on for
years. And it ends: a pattern for everything on the machine is refused, and one that goes too deep.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from itertools import groupby
from typing import TYPE_CHECKING

from esker.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MOST", "matches", "too_wide"]

MOST = 50_000
"""How often one pattern may list a directory; a directory behind `**` may be listed two or three times."""
_EVERYWHERE = "**"
_NARROWER = "begin the pattern with the directory that it is for"


def matches(pattern: str, directory: str, *, most: int = MOST) -> list[str]:
    """Return the paths that a pattern matches, sorted and each once: relative to `directory`, unless it is absolute.

    As in a shell, only a part that begins with a dot matches a hidden name. Raises HostError for a pattern that is
    `too_wide` or leads too deep.
    """
    parts = [part for part in pattern.split("/") if part]
    parts = [part for each, same in groupby(parts) for part in ([each] if each == _EVERYWHERE else same)]
    search = _Search(pattern, directory, most)
    try:
        return sorted({*search.found("/" if pattern.startswith("/") else "", parts)})
    except RecursionError:
        message = f"the pattern `{pattern}` leads into too many directories that lie in each other"
        raise HostError(message, hint=_NARROWER) from None


def too_wide(pattern: str, most: int = MOST) -> HostError:
    """Return the error for a pattern that would list too many directories."""
    return HostError(f"the pattern `{pattern}` would look into directories more than {most:,} times", hint=_NARROWER)


class _Search:
    def __init__(self, pattern: str, directory: str, most: int) -> None:
        self._pattern, self._directory, self._most = pattern, directory, most
        self._left = most
        self._last: tuple[str, list[os.DirEntry[str]]] | None = None

    def found(self, below: str, parts: list[str]) -> Iterator[str]:
        """Yield what matches the rest of a pattern in the directory `below`, which is empty or ends in a slash."""
        part, *rest = parts or [""]
        if part == _EVERYWHERE:
            if rest:
                yield from self.found(below, rest)
            for entry in self._entries(below):
                if entry.name.startswith("."):
                    continue
                if not rest:
                    yield f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    yield from self.found(f"{below}{entry.name}/", parts)
        elif glob.has_magic(part):
            names = [each.name for each in self._entries(below) if part.startswith(".") or each.name[0] != "."]
            for name in fnmatch.filter(names, part):
                yield from self._beneath(f"{below}{name}", rest)
        elif part and os.path.lexists(os.path.join(self._directory, below, part)):
            yield from self._beneath(f"{below}{part}", rest)

    def _beneath(self, path: str, rest: list[str]) -> Iterator[str]:
        return self.found(f"{path}/", rest) if rest else iter((path,))

    def _entries(self, below: str) -> list[os.DirEntry[str]]:
        if self._last is not None and self._last[0] == below:  # `**` and the part behind it look at one directory
            return self._last[1]
        self._left -= 1
        if self._left < 0:
            raise too_wide(self._pattern, self._most)
        try:
            with os.scandir(os.path.join(self._directory, below)) as found:
                entries = list(found)
        except OSError:  # no directory, or one of somebody else
            entries = []
        self._last = below, entries
        return entries
