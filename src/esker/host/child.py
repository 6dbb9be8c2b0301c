"""Programs that do not outlive the call that has started them, also if Ctrl-C or an error ends that call."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from esker.host import process_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import Popen

__all__ = ["child"]

P = TypeVar("P", bound="Popen[Any]")


@contextmanager
def child(start: Callable[[], P], *, moment: float = 0.0) -> Iterator[P]:
    """Give the program that `start` starts, and wait for its end; if the block fails, end it and what it has started.

    It has a `moment`, in seconds, to end by itself. At a terminal Ctrl-C reaches it as well, but a signal may be sent
    to this process alone.
    """
    with ExitStack() as starting:
        starting.enter_context(_held())
        with start() as process:
            try:
                starting.close()  # an interruption that was held back is raised here, where the program can be ended
                yield process
            except BaseException:
                _end_family(process, moment)
                raise


@contextmanager
def _held() -> Iterator[None]:
    """Hold back Ctrl-C until the block has ended.

    An interruption while `Popen` starts a program would leave that program running without anybody to end it.
    """
    arrived: list[int] = []
    before = signal.getsignal(signal.SIGINT)  # if not callable, SIGINT raises no exception here and need not be held
    try:
        is_held = callable(before) and bool(signal.signal(signal.SIGINT, lambda number, _: arrived.append(number)))
    except ValueError:
        is_held = False  # this is not the main thread, and only the main thread is interrupted
    try:
        yield
    finally:
        if is_held:
            signal.signal(signal.SIGINT, before)
        for number in arrived:
            signal.raise_signal(number)


def _end_family(process: Popen[Any], moment: float) -> None:
    """End a program and what it has started, unless that has detached from it; SIGKILL after a `moment`."""
    import subprocess

    if process.poll() is not None:  # its pid may be another's by now
        return
    family = process_table.family(process.pid)
    process.terminate()
    for pid, entry in family.items():
        _signal(pid, entry.start, signal.SIGTERM)
    # A second look finds what was started meanwhile. The program is not waited for before, so that it keeps its pid.
    family |= process_table.family(process.pid)
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    process.kill()
    for pid, entry in family.items():
        _signal(pid, entry.start, signal.SIGKILL)


def _signal(pid: int, start: int, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has ended: its pid may be another's by now."""
    entry = process_table.entry(pid)
    if entry is not None and entry.start == start:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
