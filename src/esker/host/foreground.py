"""Running a command in the foreground: it uses our terminal, and we wait for its end.

The command stays in the caller's process group, so that the terminal stops, continues and interrupts both together. The
caller passes on the signals that other processes send to it. If the caller is killed, so is the command.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from esker.errors import CommandFailed
from esker.host import prctl
from esker.host.process import execute, find_program, not_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

__all__ = ["run_in_foreground"]

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_WATCHED = frozenset({*_PASSED_ON, signal.SIGCHLD})
_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""The terminal also sends these to the command, so the caller ignores them."""


def run_in_foreground(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run a program to its end and return its exit status: minus the signal's number if a signal ended it.

    Raises CommandFailed with status 127 when there is no such program.
    """
    if find_program(argv[0], environ.get("PATH")) is None:
        raise not_found(argv[0])
    prctl.load()
    parent = os.getpid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    before = {number: signal.getsignal(number) for number in _OF_THE_TERMINAL}
    try:
        child = os.fork()
        if child == 0:
            _become(argv, environ, parent, mask)
        for number in _OF_THE_TERMINAL:
            signal.signal(number, signal.SIG_IGN)
        # These signals stay blocked, and `sigwait` takes them. A handler could miss one just before the wait begins.
        signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, *_WATCHED})
        while (status := _status(child)) is None:
            arrived = signal.sigwait(_WATCHED)
            if arrived != signal.SIGCHLD:
                _send(child, arrived)
        return status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _status(child: int) -> int | None:
    """Return the exit status of the command, or None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid == 0:
        return None
    return os.waitstatus_to_exitcode(status)


def _send(child: int, number: int) -> None:
    with suppress(ProcessLookupError):  # the command has just ended
        os.kill(child, number)


def _become(argv: list[str], environ: Mapping[str, str], parent: int, mask: Iterable[int]) -> NoReturn:
    """Turn the forked child into the command, with the signal handling that our own caller gave us."""
    status = 1
    try:
        for number in (*_PASSED_ON, *_OF_THE_TERMINAL):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        prctl.end_with_parent(signal.SIGKILL, parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        execute(argv, environ)
    except CommandFailed as error:
        status = error.exit_status
        sys.stderr.write(f"✘ ERROR: {error.message}\n")
        sys.stderr.flush()
    finally:
        os._exit(status)
