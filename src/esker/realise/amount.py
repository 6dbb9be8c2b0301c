"""How much is installed: what the lock says of it beforehand, and how many packages are there already meanwhile."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol

from esker.formats.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.progress import Progress

__all__ = ["counting", "measured"]


class Measurable(Protocol):
    """Something that is installed."""

    @property
    def size(self) -> int | None:
        """Its size in bytes, if that is known."""


_SMALL = 100_000
"""Fewer bytes than this are told in kB."""
_INTERVAL = 0.1
"""Seconds between two looks at what is there."""
_LAST = "INSTALLER"
"""What uv writes into the `.dist-info` of a package when its files are there."""


def measured(files: Sequence[Measurable]) -> str:
    """Return how many packages these files are, and how many bytes if the lock says so for each of them.

    An index need not give the sizes of its files.
    """
    number = counted(len(files), "Python package")
    sizes = [file.size for file in files if file.size is not None]
    if not sizes or len(sizes) < len(files):
        return number
    size = sum(sizes)
    return f"{number}, {size / 1e6:.1f} MB" if size >= _SMALL else f"{number}, {size / 1e3:.1f} kB"


@contextmanager
def counting(libraries: str, progress: Progress) -> Iterator[None]:
    """Advance the progress during the block for each package that has come into the directory `libraries`."""
    over = Event()

    def count() -> None:
        counted = 0
        while True:
            is_last = over.wait(_INTERVAL)
            installed = _installed(libraries)
            if installed > counted:  # a second try begins with an empty directory
                progress.advance(installed - counted)
                counted = installed
            if is_last:
                return

    counter = Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        over.set()
        counter.join()


def _installed(libraries: str) -> int:
    with suppress(OSError):  # it is not there yet, or just removed
        names = [name for name in os.listdir(libraries) if name.endswith(".dist-info")]
        return sum(os.path.exists(f"{libraries}/{name}/{_LAST}") for name in names)
    return 0
