"""Starting a program in its own session, as another user if need be, so that it is killed when its parent ends.

Between fork and exec only this module's code runs. `subprocess` does not fit, because the order of the steps matters.
The kernel forgets the signal for the parent's end when the user changes, so the signal must be set after that. An error
must also say at which step it happened.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from esker.host import prctl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Identity", "Program", "SpawnRefused", "assume", "spawn"]

_SIGNALS_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)


class Identity(NamedTuple):
    """The user and group that a program runs as."""

    uid: int
    gid: int
    namespace: bool = False
    """Whether it keeps its parent's rights and, in a user namespace, only sees itself as `uid` and `gid`."""


class SpawnRefused(Exception):
    """The system refused to start a program; `step` says what could not be done, `number` is the errno."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"cannot {step}: {os.strerror(number).lower()}")
        self.step = step
        self.number = number


class Program(NamedTuple):
    """A program to start."""

    command: tuple[str, ...]
    """The program, looked up on the PATH of `variables`, and its arguments."""
    variables: Mapping[str, str]
    directory: str
    identity: Identity | None = None
    """None keeps the parent's rights. Otherwise the program has no other groups and cannot gain privileges."""


def spawn(program: Program, output: int) -> int:
    """Start `program` and return its pid once it runs; raises SpawnRefused.

    The program leads a session and process group of its own. Its input is empty, and its output goes to the descriptor
    `output`. It is killed when the thread that calls this ends, so call it from one that lives as long as the process.
    """
    prctl.load()
    reading, writing = os.pipe()
    parent = os.getpid()
    everything = signal.valid_signals()
    # If a signal reaches the child before exec, it must not run the parent's handlers: these write to the wake-up
    # descriptor that both share.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    try:
        pid = os.fork()
        if pid == 0:
            _become(program, output, writing, parent, mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writing)
    with open(reading, "rb") as report:
        failure = report.read()  # empty once exec has closed the other end, which means success
    if failure:
        os.waitpid(pid, 0)
        number, step = failure.decode().split(" ", 1)
        raise SpawnRefused(step, int(number))
    return pid


def _become(program: Program, output: int, report: int, parent: int, mask: Iterable[int]) -> NoReturn:
    step = "set up the process"
    try:
        for number in _handled():
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.setsid()
        os.umask(0o022)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if program.identity:
            step = f"become uid {program.identity.uid}"
            assume(program.identity)
            prctl.forbid_new_privileges()
        step = "arrange that it ends with its supervisor"
        prctl.end_with_parent(signal.SIGKILL, parent)
        step = f"enter `{program.directory}`"
        os.chdir(program.directory)
        step = f"run `{program.command[0]}`"
        os.execvpe(program.command[0], program.command, program.variables)  # noqa: S606  (it must not go through a shell)
    except OSError as error:
        os.write(report, f"{error.errno or 0} {step}".encode())
    except BaseException as error:  # noqa: BLE001  (the child must not go on with the parent's code)
        os.write(report, f"0 {step} ({error!r})".encode(errors="replace"))
    finally:
        os._exit(127)


def assume(identity: Identity) -> None:
    """Change this process to `identity`; only for a forked child, since it affects the whole process."""
    if identity.namespace:
        if os.geteuid() == 0:
            os.setgroups([])
        prctl.enter_user_namespace(identity.uid, identity.gid)
        return
    os.setgroups([])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)


def _handled() -> list[int]:
    """Return the signals that this process handles, and those that Python made it ignore."""
    return [
        number
        for number in signal.valid_signals()
        if callable(signal.getsignal(number)) or number in _SIGNALS_PYTHON_IGNORES
    ]
