"""Functions that run in a forked child, which can be killed at every step it takes in the file system.

A step is a call that Python announces by an audit event; the child is killed before the call.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Child", "killed_at_each_step", "steps", "stopped_programs"]

_STEPS = {"open", "fcntl.flock", "os.chmod", "os.chown", "os.link", "os.listdir", "os.mkdir", "os.remove", "os.rename"}
_STEPS |= {"os.rmdir", "os.scandir", "os.symlink", "os.utime"}

_PATIENCE = 60
"""Seconds after which a child that hangs is ended, so that none outlives a test that has failed."""


class Child:
    """A forked process that runs `function`; what that returns, or raises, is handed back as text."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._output, output = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run(function, output)
        os.close(output)

    def kill(self) -> None:
        """Kill the child as nothing can prevent."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> tuple[int, str]:
        """Return the exit status, negative for the signal that ended the child, and its text."""
        with open(self._output, "rb") as file:
            text = file.read().decode()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), text

    def result(self) -> str:
        """Return the text of a child that must end well."""
        status, text = self.wait()
        assert status == 0, text
        return text


def steps(function: Callable[[], object]) -> list[str]:
    """Return the steps that `function` takes in a child: the name of each and its first argument."""

    def recorded() -> str:
        found: list[str] = []
        sys.addaudithook(lambda event, arguments: found.append(f"{event} {arguments[0]}") if event in _STEPS else None)
        function()
        return "\n".join(found)

    return Child(recorded).result().splitlines()


def stopped_programs(directory: os.PathLike[str]) -> tuple[str, Callable[..., list[int]]]:
    """Return a program that waits until it is killed, and a function that waits for some of it and gives their pids."""
    program, told, never = (f"{os.fspath(directory)}/{name}" for name in ("program", "told", "never"))
    os.mkfifo(told)
    os.mkfifo(never)
    with open(program, "x", encoding="ascii") as file:
        file.write(f"#!/bin/sh\necho $$ >{told}\nexec cat {never}\n")
    os.chmod(program, 0o700)

    def pids(count: int = 1) -> list[int]:
        reading = os.open(told, os.O_RDWR)  # for reading alone, it would end with the first writer
        text = b""
        while text.count(b"\n") < count:
            text += os.read(reading, 64)
        os.close(reading)
        return [int(line) for line in text.split()]

    return program, pids


def killed_at_each_step(function: Callable[[], object]) -> Iterator[int]:
    """Run `function` again and again, killed one step later each time, and yield the step; the last run is whole."""
    for step in itertools.count(1):
        child = Child(partial(_armed, function, step))
        status, text = child.wait()
        if status == 0:
            return
        assert status == -signal.SIGKILL, text
        yield step


def _armed(function: Callable[[], object], at: int) -> None:
    taken = itertools.count(1)

    def watch(event: str, _arguments: tuple[object, ...]) -> None:
        if event in _STEPS and next(taken) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    function()


def _run(function: Callable[[], object], output: int) -> None:
    status = 1
    signal.alarm(_PATIENCE)
    try:
        text = str(function())
        status = 0
    except BaseException as error:  # noqa: BLE001  # a child never returns into its parent's program
        text = f"{type(error).__name__}: {error}"
    finally:
        os.write(output, text.encode())
        os._exit(status)
