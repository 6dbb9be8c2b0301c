"""Programs that do not outlive the call that has started them, also if Ctrl-C or an error ends that call."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` builds enumerations, which takes 1 ms
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import contextmanager
    from subprocess import Popen
    from typing import Any, TypeVar

    from esker.host.tied import Tied

    P = TypeVar("P", bound="Popen[Any] | Tied")
else:
    from esker.host.context import contextmanager

__all__ = ["child"]


@contextmanager
def child(start: Callable[[], P], *, moment: float = 0.0) -> Iterator[P]:
    """Give the program that `start` starts, and wait for its end; if the block fails, end it and what it has started.

    It has a `moment`, in seconds, to end by itself. At a terminal Ctrl-C reaches it as well, but a signal may be sent
    to this process alone.
    """
    held = _Held()
    try:
        process = start()
    except BaseException:
        held.end()
        raise
    with process:
        try:
            held.end()  # an interruption that was held back is raised here, where the program can be ended
            yield process
        except BaseException:
            _end_family(process, moment)
            raise


class _Held:
    """Holds back Ctrl-C until `end` is called.

    An interruption while a program is started would leave that program running without anybody to end it.
    """

    def __init__(self) -> None:
        self._arrived: list[int] = []
        # If it is not callable, SIGINT raises no exception here and need not be held.
        self._before = _signal.getsignal(_signal.SIGINT)
        try:
            self._is_held = callable(self._before) and bool(
                _signal.signal(_signal.SIGINT, lambda number, _: self._arrived.append(number))
            )
        except ValueError:
            self._is_held = False  # this is not the main thread, and only the main thread is interrupted

    def end(self) -> None:
        """Let interruptions through again, and raise what has arrived."""
        if self._is_held:
            _signal.signal(_signal.SIGINT, self._before)
        for number in self._arrived:
            _signal.raise_signal(number)


def _end_family(process: Popen[Any] | Tied, moment: float) -> None:
    """End a program and what it has started, unless that has detached from it; SIGKILL after a `moment`."""
    import signal
    import subprocess
    from contextlib import suppress

    from esker.host import process_table

    if process.poll() is not None:  # its pid may be another's by now
        return
    family = process_table.family(process.pid)
    process.terminate()
    for pid, entry in family.items():
        _send(pid, entry.start, signal.SIGTERM)
    # A second look finds what was started meanwhile. The program is not waited for before, so that it keeps its pid.
    family |= process_table.family(process.pid)
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    process.kill()
    for pid, entry in family.items():
        _send(pid, entry.start, signal.SIGKILL)


def _send(pid: int, start: int, number: int) -> None:
    """Send a signal to a process, unless it has ended: its pid may be another's by now."""
    from contextlib import suppress

    from esker.host import process_table

    entry = process_table.entry(pid)
    if entry is not None and entry.start == start:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
