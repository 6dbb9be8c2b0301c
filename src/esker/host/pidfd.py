"""A descriptor for a process: unlike a pid it never comes to mean another one, and its end can be waited for."""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.host.process_table import entry

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["open_process", "opened", "send", "wait"]


def open_process(pid: int, start: int | None = None) -> int | None:
    """Return a descriptor of the process `pid`, or None when it has ended or did not begin at `start`.

    The descriptor is readable once the process has ended, and is the caller's to close.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # Asked after it was opened: from here on the pid is that of the descriptor's process, or of none.
    found = entry(pid)
    if found is None or found.ended or start not in {None, found.start}:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def opened(pid: int, start: int | None = None) -> Iterator[int | None]:
    """Open a process as `open_process` does, and close the descriptor at the end of the block."""
    descriptor = open_process(pid, start)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def wait(descriptor: int, timeout: float | None) -> bool:
    """Return whether the process ended within `timeout` seconds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def send(descriptor: int, number: int) -> None:
    """Send a signal; a process that has ended is no error."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)
