"""The shell that will evaluate what this process prints."""

from __future__ import annotations

import os

__all__ = ["calling_shell"]

_SESSION = 6
_LAYOUT = (26, 27, 28, 48, 50)
"""Fields of /proc/PID/stat: the addresses of the program's code, stack, arguments and variables."""


def calling_shell() -> int:
    """Return the pid of the shell whose command substitution runs this process; without one, the parent's pid.

    For a substitution, a shell forks itself, and the fork ends with the substitution. We recognise such forks because
    they have the same memory layout as the shell, while a program that was started by exec has another. If the shell
    has already ended, nobody will evaluate the output, and the result is the pid of this process.
    """
    own, pid = os.getpid(), os.getppid()
    session = _stat(own)[1]
    if _stat(pid)[1] != session != own:  # the parent has ended: init, or a subreaper, has adopted us
        return own
    while True:
        parent, _, layout = _stat(pid)
        if not any(layout) or _stat(parent)[2] != layout:
            return pid
        pid = parent


def _stat(pid: int) -> tuple[int, int, list[int]]:
    """Return the parent, the session and the memory layout of a process; zeros if they cannot be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, 0, [0]
    return int(fields[1]), int(fields[_SESSION - 3]), [int(fields[number - 3]) for number in _LAYOUT]
