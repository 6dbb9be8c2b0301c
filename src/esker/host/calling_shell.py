"""The shell that will evaluate what this process prints, and its program."""

from __future__ import annotations

import os

__all__ = ["calling_shell", "program_of"]

_PARENT, _SESSION = 4, 6
_STACK = 28
_LAYOUT = (26, 27, _STACK, 48, 50)
"""Fields of /proc/PID/stat: the addresses of the program's code, stack, arguments and variables."""


def calling_shell() -> int:
    """Return the pid of the shell whose command substitution runs this process; without one, the parent's pid.

    For a substitution, a shell forks itself, and the fork ends with the substitution. We recognise such forks because
    they have the same memory layout as the shell, while a program that was started by exec has another.

    Nobody evaluates the output if the shell has already ended, and neither does a parent that we may not inspect (`su`,
    `sudo`, the server of ssh, a process outside of the container) or an init. The result is then the
    pid of this process. Where the system says nothing at all about processes (macOS), it is the parent's pid.
    """
    own, parent = os.getpid(), os.getppid()
    if (here := _process(own)) is None:
        return parent
    pid, shell = parent, _process(parent)
    if shell is None:
        return own
    session = here[1]
    if shell[1] != session != own:  # the parent has ended: init, or a subreaper, has adopted us
        return own
    if pid == 1 and not shell[2].endswith(b"sh"):  # in a container, process 1 may be a shell
        return own
    while (above := _process(shell[0])) and above[3] == shell[3]:
        pid, shell = shell[0], above
    return pid


def program_of(pid: int) -> str | None:
    """Return the path, or else the name, of the program that the process `pid` runs; None if we may not see it."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None if os.path.isdir("/proc/self") else _listed(pid)
    return path.removesuffix(" (deleted)")  # as after an upgrade of the shell


def _listed(pid: int) -> str | None:
    """Return the program of a process where the system has no /proc; a login shell is listed with a dash."""
    import subprocess

    try:
        done = subprocess.run(["/bin/ps", "-o", "comm=", "-p", str(pid)], capture_output=True, check=False)
    except OSError:
        return None
    return os.fsdecode(done.stdout).strip().removeprefix("-") or None


def _process(pid: int) -> tuple[int, int, bytes, list[bytes]] | None:
    """Return the parent, session, program and memory layout of the process `pid`; None if we may not see them."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            name, _, rest = file.read().rpartition(b")")
    except OSError:
        return None
    fields = [b"", b"", b"", *rest.split()]  # so that the indexes are the numbers of the manual
    if fields[_STACK] == b"0":
        return None  # the system shows addresses to those alone who may inspect the process
    layout = [fields[number] for number in _LAYOUT]
    return int(fields[_PARENT]), int(fields[_SESSION]), name.partition(b"(")[2], layout
