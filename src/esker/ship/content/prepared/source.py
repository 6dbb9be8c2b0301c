"""What is prepared for one place: pinned, and fetched only when somebody needs its bytes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from esker.host import trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from esker.formats.image_lock import LockedInput
    from esker.ship.content.components import Component

__all__ = ["PreparedFile", "Source", "size_of", "tree_files"]


class PreparedFile(NamedTuple):
    """A file or a link of what is prepared."""

    path: str
    """Below the place; empty if it is the place itself."""
    source: str = ""
    """Where the file lies on this machine."""
    is_program: bool = False
    target: str | None = None
    """What a link leads to; None for a file."""


class Source(NamedTuple):
    """What is prepared for one place."""

    locked: LockedInput
    identity: str
    """Names its bytes: equal identities give equal files."""
    version: str
    """What people are shown."""
    files: Callable[[], Iterable[PreparedFile]]
    """Lists the files; fetches what is not in the store."""
    components: Callable[[str], list[Component]]
    """Gives the lines of a bill of materials, by the name of the unit."""
    remarks: tuple[tuple[str, str], ...] = ()
    """What people should know of parts of it, by what it concerns."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self.locked.size if isinstance(self.locked.size, int) else 0


def tree_files(tree: str, below: str = "") -> Iterator[PreparedFile]:
    """Yield the files of a tree in the store; `below` is put before their paths."""
    for path in sorted(trees.files_below(tree)):
        source = f"{tree}/{path}"
        status = os.lstat(source)
        target = os.readlink(source) if stat.S_ISLNK(status.st_mode) else None
        yield PreparedFile(f"{below}{path}", source, bool(status.st_mode & stat.S_IXUSR), target)


def size_of(files: Iterable[PreparedFile]) -> int:
    """Return the bytes of all files together."""
    return sum(os.lstat(each.source).st_size for each in files if each.target is None)
