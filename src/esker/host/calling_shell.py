"""The shell that will evaluate what this process prints."""

from __future__ import annotations

import os

__all__ = ["calling_shell"]

_SESSION = 6
_LAYOUT = (26, 27, 28, 48, 50)
"""Fields of /proc/PID/stat: where the program's text, stack, arguments and variables lie in its memory."""


def calling_shell() -> int:
    """Return the pid of the shell in whose command substitution this process runs, else that of the parent.

    A substitution is run by a copy that the shell makes of itself, and that ends with it. A copy has its memory where
    the original has it; a program that was started anew has it elsewhere. When the shell has ended already, and so
    nobody will evaluate anything, it is this process.
    """
    own, pid = os.getpid(), os.getppid()
    session = _seen(own)[1]
    if _seen(pid)[1] != session != own:  # init, or who else adopts
        return own
    while True:
        parent, _, layout = _seen(pid)
        if not any(layout) or _seen(parent)[2] != layout:
            return pid
        pid = parent


def _seen(pid: int) -> tuple[int, int, list[int]]:
    """Return the parent of a process, its session and its layout; zeros where it may not be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, 0, [0]
    return int(fields[1]), int(fields[_SESSION - 3]), [int(fields[number - 3]) for number in _LAYOUT]
