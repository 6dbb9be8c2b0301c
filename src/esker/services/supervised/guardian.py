"""The guardian: starts the supervisor, waits for its end, and ends the processes that a killed supervisor leaves.

It is the parent of the supervisor and a subreaper, so every process of the services stays its descendant for as long
as it lives. It may wait for weeks, so it imports hardly anything, to use little memory.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

__all__ = ["FORWARDED", "KILLED", "guard", "main"]

KILLED = "the supervisor of the services was killed"
"""Begins the line in the supervisor's log that a killed supervisor leaves."""

FORWARDED = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
"""The signals that tell the services to end."""
_GRACE = 5.0
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def main(arguments: list[str]) -> NoReturn:
    """Detach from the caller, start the supervisor with `arguments`, and exit when it and all processes have ended."""
    if os.fork():
        os._exit(0)  # the caller waits for this process; its child, the guardian, belongs to init
    os.setsid()
    guard(arguments, {})
    os._exit(0)


def guard(arguments: list[str], others: dict[int, int]) -> int:
    """Start the supervisor with `arguments`; return its wait status when it and all processes have ended.

    If the record's lock was passed to us, its descriptor is the last argument. We keep it: if the supervisor ends
    before it has given up the lock, nobody can start another one before we have cleaned up. `others` gets the wait
    status of every other process that has ended as our child, by its pid.
    """
    from esker.host.prctl import become_subreaper

    become_subreaper()
    signals = {signal.SIGCHLD, *FORWARDED}
    _begin_with(signals)
    guardian = os.getpid()
    supervisor = os.fork()
    if supervisor == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, FORWARDED)  # until it can answer those who wait for it
        gc.disable()  # while modules are imported, which leaves no garbage; the supervisor enables it again
        sys.modules["ssl"] = None  # type: ignore[assignment]  # asyncio would load it, for 4 MB and 10 ms
        from esker.services.supervised.server import main as supervise

        os._exit(supervise(guardian, arguments))
    _name("esker-guardian")
    socket, directory, dot_flox, connection, *_ = arguments
    os.close(int(connection))  # only the supervisor may hold the connection: the caller must see it close
    status = _watch(supervisor, signals, others)
    _end_descendants(others)
    if status:
        if os.WIFSIGNALED(status):
            _say(f"{KILLED} by {signal.Signals(os.WTERMSIG(status)).name}, and the services with it")
        _put_in_order(socket, directory, dot_flox)
    return status


def _begin_with(blocked: Iterable[signal.Signals]) -> None:
    """Block these signals and no others, and ignore none.

    What our caller has blocked or ignored would go over to every service, and an ignored SIGCHLD would hide the end of
    the supervisor from us.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)


def _watch(supervisor: int, signals: set[signal.Signals], others: dict[int, int]) -> int:
    """Wait until the supervisor ends, forward signals to it, and return its wait status."""
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
            others[pid] = status


def _end_descendants(others: dict[int, int]) -> None:
    """End every descendant: end our children until there are none, as orphans below them become our children too."""
    deadline = time.monotonic() + _GRACE
    signalled: set[int] = set()
    while children := _children():
        left = deadline - time.monotonic()
        if left < -_GRACE:
            return  # we cannot kill what is left, such as another user's program
        for pid in children:
            if left <= 0 or pid not in signalled:
                signalled.add(pid)
                with suppress(OSError):
                    os.kill(pid, signal.SIGTERM if left > 0 else signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, left if left > 0 else 0.1)
        while _reap(others):
            pass


def _reap(others: dict[int, int]) -> int:
    """Collect the status of one child that has ended; return its pid, or 0 if there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0
    if pid:
        others[pid] = status
    return pid


def _children() -> list[int]:
    """Return the pids of our children, zombies included; no pid can be reused until we wait for the child."""
    guardian, children = str(os.getpid()).encode(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[1] == guardian:
                children.append(int(name))
    return children


def _put_in_order(socket: str, directory: str, dot_flox: str) -> None:
    """Clean up as the supervisor would have done at its end.

    Clear the record last. As long as it names the dead supervisor, a command that wants a new one waits for us, so the
    socket and the directory that we remove cannot be those of the new one.
    """
    from esker.host.runtime_directory import clear
    from esker.services.supervised.record_lock import record_path
    from esker.services.supervised.supervisor_record import RecordFile
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


def _say(text: str) -> None:
    """Write a line to our output, which is the supervisor's log."""
    with suppress(OSError):
        os.write(1, f"{text}\n".encode())


def _name(name: str) -> None:
    """Set the name that process lists show."""
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(name)
