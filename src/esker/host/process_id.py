"""Identifying a process by pid and start time, because the system reuses the pid of a process that has ended.

Start times count from the boot. To identify a process beyond a reboot, store `boot_id()` with its id.
"""

from __future__ import annotations

import os
import sys

from esker.host import pidfd, process_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import contextmanager
    from typing import NamedTuple
else:
    from esker.host.context import contextmanager
    from esker.host.named_tuple import NamedTuple

__all__ = ["ProcessId", "boot_id", "is_ours", "of", "own"]


class ProcessId(NamedTuple):
    """The identity of one process of this boot, which no other process shares."""

    pid: int
    start: int
    """Clock ticks since the boot; 0 if the system does not tell."""

    @property
    def lives(self) -> bool:
        """Whether the process still runs; a zombie does not."""
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
        """Return a pidfd of the process, which the caller must close; None when the process has ended."""
        return pidfd.open_process(self.pid, self.start)

    @contextmanager
    def opened(self) -> Iterator[int | None]:
        """Give the pidfd that `open` returns, and close it at the end of the block."""
        with pidfd.opened(self.pid, self.start) as descriptor:
            yield descriptor


def of(pid: int) -> ProcessId:
    """Return the identity of the process with this pid; its start is 0 if there is no such process."""
    entry = process_table.entry(pid)
    return ProcessId(pid, entry.start if entry else 0)


def is_ours(pid: int) -> bool:
    """Return whether the process runs as this user and is not the system's first one, so that we may speak of its end.

    A file or a message may name any pid: no advice and no signal is for a process that is not ours.
    """
    return pid > 1 and process_table.owner(pid) == os.geteuid()


def own() -> ProcessId:
    """Return the identity of this process."""
    return of(os.getpid())


def boot_id() -> str:
    """Return the kernel's id of this boot; empty on systems without one."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""
