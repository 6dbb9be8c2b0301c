"""A program that is tied to this process, whose end it does not outlive; for a warm path, so nothing heavy is imported.

Importing `subprocess` takes 7 ms with the `threading`, `selectors` and `signal` that it needs. This module calls
posix_spawn instead, which no thread of this process can disturb, as no code of ours runs between fork and exec.

The program gets SIGTERM when this process ends, even by SIGKILL. `prctl` would need ctypes for that, which takes 2 ms.
So the program holds the reading end of a pipe, and the kernel sends the signal when something happens there: nothing
is ever written, but the writing end is closed when this process ends. The program has to hold its end, or the kernel
would forget what it was asked. Other systems than Linux do not send it.

The kernel can only be asked for that when the program runs already. So the program begins by reading a byte from a
second pipe, and ends if there is none: then this process has ended before it could ask.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` builds enumerations, which takes 1 ms
import fcntl
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import suppress
    from types import TracebackType
    from typing import Any, Self
else:
    from esker.host.context import suppress

__all__ = ["Tied"]

_PYTHON_IGNORES = (_signal.SIGPIPE, _signal.SIGXFSZ)
_PAUSE = 0.01
_LAST = 2  # of the standard streams
_LOST = 255
"""The status of a program whose status somebody else has fetched."""


class Tied:
    """A program that runs, and how it has ended; it has what `subprocess.Popen` has of these names."""

    def __init__(
        self,
        argv: Callable[[int], list[str]],
        *,
        env: Mapping[str, str],
        output: int,
        kept: Sequence[int],
        own_group: bool = False,
    ) -> None:
        """Start a program, whose path is the first word of its command line; raises OSError if it does not start.

        `argv` returns the command line for the descriptor from which the program has to read a byte before it does
        anything. Both of its outputs go to the descriptor `output`. Of the others it has its input, those in `kept`,
        and the ends of the two pipes, which have higher numbers, because a hook may use low ones for itself. With
        `own_group` it leads a process group, so that it can be killed with everything that it has started.
        """
        self.returncode: int | None = None
        """The exit status, or minus the number of the signal that has ended it; None while it runs."""
        ending, self._until_end = _pipe(above=max(kept, default=2))
        tied, until_tied = _pipe(above=ending)
        given, words = (*kept, ending, tied), argv(tied)
        actions = [(os.POSIX_SPAWN_DUP2, output, number) for number in (1, 2)]
        # One above the limit on open files, which was lowered since, cannot be closed this way.
        closed = (each for each in _inherited() if each not in given and each < os.sysconf("SC_OPEN_MAX"))
        actions += [(os.POSIX_SPAWN_CLOSE, number) for number in closed]  # type: ignore[misc]
        options: dict[str, Any] = {"setpgroup": 0} if own_group else {}
        try:
            for number in given:
                os.set_inheritable(number, True)
            self.pid = os.posix_spawn(words[0], words, env, file_actions=actions, setsigdef=_PYTHON_IGNORES, **options)
            _signal_at_end(ending, self.pid)
            with suppress(OSError):  # it has ended already
                os.write(until_tied, b".")
        except BaseException:
            os.close(self._until_end)
            raise
        finally:
            for number in (ending, tied, until_tied):
                os.close(number)
            for number in kept:
                os.set_inheritable(number, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()

    def poll(self) -> int | None:
        """Return how the program has ended, None while it runs."""
        return self._fetched(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the program's end and return how it has ended; raises subprocess.TimeoutExpired."""
        if timeout is None:
            while (status := self._fetched(0)) is None:
                pass
            return status
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() >= end:
                import subprocess

                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(_PAUSE)
        return status

    def terminate(self) -> None:
        """Send SIGTERM, unless the program has ended."""
        self._send(_signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, unless the program has ended."""
        self._send(_signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _fetched(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:
                pid, status = self.pid, _LOST << 8
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._until_end)
        return self.returncode


def _pipe(*, above: int) -> tuple[int, int]:
    """Return the reading and the writing end of a pipe; the former is above a descriptor, if the limit allows that."""
    reading, writing = os.pipe()
    with suppress(OSError):
        higher = fcntl.fcntl(reading, fcntl.F_DUPFD_CLOEXEC, above + 1)
        os.close(reading)
        return higher, writing
    return reading, writing


def _inherited() -> list[int]:
    """Return the descriptors that a program would inherit beside the standard ones: our caller has left them open."""
    directory = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return [number for name in os.listdir(directory) if (number := int(name)) > _LAST and _is_inherited(number)]


def _is_inherited(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # the one with which the directory was read
        return False


def _signal_at_end(descriptor: int, pid: int) -> None:
    """Let a process get SIGTERM when the other end of a pipe is closed."""
    if hasattr(fcntl, "F_SETSIG"):
        with suppress(OSError):  # it has ended already, and somebody else has fetched its status; or the kernel cannot
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, _signal.SIGTERM)
            fcntl.fcntl(descriptor, fcntl.F_SETOWN, pid)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_ASYNC)
