"""The guardian: starts the supervisor, waits, and ends what a killed supervisor leaves behind.

It is the parent of the supervisor and a subreaper, so that every process of the services is its descendant for as long
as it lives. It imports next to nothing (ctypes for one call), because it may wait for weeks.

Arguments: those of the supervisor.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]

_GRACE = 5.0
_FORWARDED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def main(arguments: list[str]) -> NoReturn:
    """Leave the caller, start the supervisor, and watch over it until nothing is left."""
    if os.fork():
        os._exit(0)  # the caller waits for this process, and init for the guardian
    os.setsid()
    from esker.host.prctl import become_subreaper

    become_subreaper()
    signals = {signal.SIGCHLD, *_FORWARDED}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    guardian = os.getpid()
    supervisor = os.fork()
    if supervisor == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        sys.modules["ssl"] = None  # type: ignore[assignment]  # asyncio would load it, for 4 MB and 10 ms
        from esker.services.supervised.server import main as supervise

        os._exit(supervise(guardian, arguments))
    _name("esker-guardian")
    os.close(int(arguments[-1]))  # the caller's connection is the supervisor's alone
    status = _watch(supervisor, signals)
    _end_descendants()
    if status:
        socket, directory, _, dot_flox, _ = arguments
        _put_in_order(socket, directory, dot_flox)
    os._exit(0)


def _watch(supervisor: int, signals: set[signal.Signals]) -> int:
    """Wait for the end of the supervisor, pass signals on to it, and return its status."""
    while True:
        received = signal.sigwaitinfo(signals).si_signo
        if received != signal.SIGCHLD:
            os.kill(supervisor, signal.SIGTERM)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if pid == supervisor:
                return status
            if not pid:
                break


def _end_descendants() -> None:
    """End every descendant: each child, until there is none, because what a child leaves becomes a child."""
    deadline = time.monotonic() + _GRACE
    told: set[int] = set()
    while children := _children():
        left = deadline - time.monotonic()
        if left < -_GRACE:
            return  # what cannot be killed, such as another user's program
        for pid in children:
            if left <= 0 or pid not in told:
                told.add(pid)
                with suppress(OSError):
                    os.kill(pid, signal.SIGTERM if left > 0 else signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, left if left > 0 else 0.1)
        while _reap():
            pass


def _reap() -> int:
    """Take the status of one child that has ended, and return its pid, 0 when there is none."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return 0


def _children() -> list[int]:
    """The pids of our children, zombies too; nobody else can wait for them, so they stay theirs meanwhile."""
    mine, found = str(os.getpid()).encode(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[1] == mine:
                found.append(int(name))
    return found


def _put_in_order(socket: str, directory: str, dot_flox: str) -> None:
    """Do what the supervisor would have done at its end.

    The record is cleared last: as long as it names the supervisor, whoever wants another one waits for us, and the
    socket and the directory are not those of the next.
    """
    from esker.host.runtime_directory import clear
    from esker.services.supervised.supervisor_record import RecordFile, record_path
    from esker.store import temporary_roots

    with suppress(OSError):
        os.unlink(socket)
    with suppress(OSError):
        clear(directory)
    with suppress(OSError):
        if os.path.lexists(record_path(dot_flox)):
            file = RecordFile(dot_flox)
            if record := file.read():
                for store in record.stores:
                    temporary_roots.remove(store, record.token)
            file.clear()
            file.close()


def _name(name: str) -> None:
    """Show `name` in lists of processes."""
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(name)
