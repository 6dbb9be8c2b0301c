"""Pidfds: descriptors for processes. Unlike a pid, a pidfd never refers to another process, and one can wait for it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` builds enumerations, which takes 1 ms
import os

from esker.host.process_table import entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import contextmanager, suppress
else:
    from esker.host.context import contextmanager, suppress

__all__ = ["open_process", "opened", "send", "wait"]


def open_process(pid: int, start: int | None = None) -> int | None:
    """Return a pidfd of the process `pid`; None when the process has ended or did not begin at `start`.

    The pidfd becomes readable when the process ends. The caller must close it.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # This check must come after the opening. If the process that it sees is the right one, it was also the one opened.
    process = entry(pid)
    if process is None or process.ended or start not in {None, process.start}:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def opened(pid: int, start: int | None = None) -> Iterator[int | None]:
    """Give the pidfd that `open_process` returns, and close it at the end of the block."""
    descriptor = open_process(pid, start)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def wait(descriptor: int, timeout: float | None) -> bool:
    """Wait at most `timeout` seconds, or for ever if it is None; return whether the process has ended."""
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def send(descriptor: int, number: int) -> None:
    """Send the signal `number`; it is no error if the process has ended."""
    with suppress(ProcessLookupError):
        _signal.pidfd_send_signal(descriptor, number)
