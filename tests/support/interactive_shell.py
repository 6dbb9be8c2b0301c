"""An interactive bash on a terminal of its own, as a person uses it: line by line, each with its status and output."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Answer", "InteractiveShell", "prepare_home"]

ROWS, COLUMNS = 200, 400
_PATIENCE = 90.0
"""Seconds, for a machine with much other work."""
_PROMPT = re.compile(rb"(?:esker \[[^]\n]*\] )?<<(\d+)>> ")
"""What Esker puts before a prompt is no output."""


class Answer(NamedTuple):
    """What a line did."""

    status: int
    output: str


def prepare_home(home: Path) -> None:
    """Let interactive bashes with this home show the status of each line in their prompt."""
    (home / ".bashrc").write_text("PS1='<<$?>> ' PS2=\n")


class InteractiveShell:
    """A bash, or a command that becomes one, on a terminal; a context manager that hangs up at its end.

    Its home is one of `prepare_home`.
    """

    VARIABLES: ClassVar = {"TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat"}
    """What programs have to know of the terminal."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], directory: Path) -> None:
        self._command, self._directory = command, directory
        self._environ = {**environ, **self.VARIABLES}
        self.greeting = ""
        """What was shown before the first prompt."""

    def __enter__(self) -> Self:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        settings = termios.tcgetattr(theirs)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *self._command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._environ,
            cwd=self._directory,
        )
        os.close(theirs)
        self._received = b""
        self.greeting = self._until(_PROMPT).output
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._terminal)  # which sends SIGHUP
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            raise

    def run(self, line: str) -> Answer:
        """Type a line, and return what it did when the next prompt is there."""
        os.write(self._terminal, f"{line}\n".encode())
        return self._until(_PROMPT)

    def output(self, line: str) -> str:
        """Return what a line shows, which must succeed."""
        status, output = self.run(line)
        assert status == 0, f"`{line}` has ended with {status}:\n{output}"
        return output

    def begin(self, line: str, words: str) -> str:
        """Type a line whose program goes on, and return what it has shown once these words are there."""
        os.write(self._terminal, f"{line}\n".encode())
        return self._until(re.compile(re.escape(words.encode()))).output + words

    def interrupt(self) -> Answer:
        """Press Ctrl-C, and return what the program in the foreground did."""
        os.write(self._terminal, b"\x03")
        return self._until(_PROMPT)

    def leave(self) -> str:
        """Type `exit`, and return what is shown until the shell has ended."""
        os.write(self._terminal, b"exit\n")
        deadline = time.monotonic() + _PATIENCE
        while self._read(deadline):
            pass
        shown, self._received = self._received, b""
        return shown.decode()

    def _until(self, pattern: re.Pattern[bytes]) -> Answer:
        deadline = time.monotonic() + _PATIENCE
        while (match := pattern.search(self._received)) is None:
            if not self._read(deadline):
                raise AssertionError(f"the shell has ended: {self._received.decode(errors='replace')}")
        shown = self._received[: match.start()].decode(errors="replace").replace("\r\n", "\n")
        self._received = self._received[match.end() :]
        return Answer(int(match[1]) if match.groups() else 0, shown)

    def _read(self, deadline: float) -> bool:
        """Read what is there, once something is; return whether the terminal is still open."""
        if not select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"the shell shows no prompt: {self._received.decode(errors='replace')}")
        try:
            chunk = os.read(self._terminal, 65536)
        except OSError:  # every program has closed its side
            return False
        self._received += chunk
        return bool(chunk)
