"""A program is started in a session of its own, as another user if need be, so that it ends with its parent.

Between fork and exec only this module's code runs. `subprocess` would do, but for the order: the kernel forgets the
signal for the parent's end when the user changes, so it must be set after that, and a failure must say at which step.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from esker.host import prctl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["REMEDIES", "Identity", "Program", "SpawnRefused", "assume", "spawn"]

_FILES = "raise the limit on open files (`ulimit -n`)"
REMEDIES = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: "end programs that are not needed, or raise the limit on them (`ulimit -u`)",
}
"""What to do when the system refuses to start a program, by its number for that."""

_SIGNALS_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)


class Identity(NamedTuple):
    """Whose rights a program gets."""

    uid: int
    gid: int
    namespace: bool = False
    """Whether it is only shown `uid` and `gid`, in a user namespace, and keeps the rights of its parent."""


class SpawnRefused(Exception):
    """The system refused to start a program; `step` says at what."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number).lower()}")
        self.step = step
        self.number = number


class Program(NamedTuple):
    """A program to start."""

    command: tuple[str, ...]
    """The first word is found on the PATH of `variables`."""
    variables: Mapping[str, str]
    directory: str
    identity: Identity | None = None
    """None leaves it the rights of its parent; with one it has no other groups and may gain no privileges."""


def spawn(program: Program, output: int) -> int:
    """Start `program` and return its pid once it runs; raises SpawnRefused.

    It leads a session and group of its own, reads nothing, writes to the descriptor `output`, and is killed when this
    process ends. To be called from a thread that lives as long as the process does.
    """
    prctl.load()
    reading, writing = os.pipe()
    parent = os.getpid()
    everything = signal.valid_signals()
    # A signal that meets the child before exec must not run the parent's handlers, which share its wake-up descriptor.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    try:
        pid = os.fork()
        if pid == 0:
            _become(program, output, writing, parent, mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writing)
    with open(reading, "rb") as report:
        said = report.read()
    if said:
        os.waitpid(pid, 0)
        number, step = said.decode().split(" ", 1)
        raise SpawnRefused(step, int(number))
    return pid


def _become(program: Program, output: int, report: int, parent: int, mask: Iterable[int]) -> NoReturn:
    step = "become a process"
    try:
        for number in _handled():
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.setsid()
        os.umask(0o022)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if program.identity:
            step = f"become uid {program.identity.uid}"
            assume(program.identity)
            prctl.forbid_new_privileges()
        step = "end with its supervisor"
        prctl.end_with_parent(signal.SIGKILL, parent)
        step = f"enter `{program.directory}`"
        os.chdir(program.directory)
        step = f"run `{program.command[0]}`"
        os.execvpe(program.command[0], program.command, program.variables)  # noqa: S606  (no shell is wanted)
    except OSError as error:
        os.write(report, f"{error.errno or 0} {step}".encode())
    except BaseException as error:  # noqa: BLE001  (nothing of the parent may run on in the child)
        os.write(report, f"0 {step} ({error!r})".encode(errors="replace"))
    finally:
        os._exit(127)


def assume(identity: Identity) -> None:
    """Become `identity`, in a process that nobody else's code runs in."""
    if identity.namespace:
        if os.geteuid() == 0:
            os.setgroups([])
        prctl.enter_user_namespace(identity.uid, identity.gid)
        return
    os.setgroups([])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)


def _handled() -> list[int]:
    """The signals that this process handles, and those that it ignores because Python does."""
    return [
        number
        for number in signal.valid_signals()
        if callable(signal.getsignal(number)) or number in _SIGNALS_PYTHON_IGNORES
    ]
