"""Processes that are killed in one blow, so that none of them can react to the end of another."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from esker.host import pidfd

if TYPE_CHECKING:
    from esker.host.process_id import ProcessId

__all__ = ["kill_at_once"]


def kill_at_once(*processes: ProcessId) -> None:
    """Kill processes, and wait until all have ended."""
    opened = [pidfd.open_process(*process) for process in processes]
    descriptors = [descriptor for descriptor in opened if descriptor is not None]
    assert len(descriptors) == len(processes), "one of them has ended already"
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for descriptor in descriptors:
            pidfd.send(descriptor, number)
    for descriptor in descriptors:
        assert pidfd.wait(descriptor, 10)
        os.close(descriptor)
