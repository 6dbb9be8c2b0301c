"""Which process is meant: a pid alone comes to mean another process once its own has ended.

Start times count from the boot, so a name that is to outlive a boot goes together with `boot_id()`.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from esker.host import pidfd, process_table

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ProcessId", "boot_id", "of", "own"]


class ProcessId(NamedTuple):
    """A process of this boot, named so that no other one can be taken for it."""

    pid: int
    start: int
    """Clock ticks since the boot; 0 where the system does not tell."""

    @property
    def lives(self) -> bool:
        """Whether the process has not ended; a zombie has."""
        if sys.platform != "linux":
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return False
            except PermissionError:
                return True
            return True
        entry = process_table.entry(self.pid)
        return entry is not None and entry.start == self.start and not entry.ended

    def open(self) -> int | None:
        """Return a descriptor of the process, which is the caller's to close; None when the process has ended."""
        return pidfd.open_process(self.pid, self.start)

    @contextmanager
    def opened(self) -> Iterator[int | None]:
        """Give what `open` returns, and close it at the end of the block."""
        with pidfd.opened(self.pid, self.start) as descriptor:
            yield descriptor


def of(pid: int) -> ProcessId:
    """Return the name of the process that has `pid` now, or had it last."""
    entry = process_table.entry(pid)
    return ProcessId(pid, entry.start if entry else 0)


def own() -> ProcessId:
    """Return the name of this process."""
    return of(os.getpid())


def boot_id() -> str:
    """Return the kernel's name of this boot; empty where there is no such name."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
