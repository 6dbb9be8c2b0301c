"""A terminal for tests: a program runs on it, keys are typed at it, and its screen can be read."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Screen", "on_a_terminal"]

ROWS, COLUMNS = 24, 80


def on_a_terminal(
    arguments: list[str], *, environ: Mapping[str, str], cwd: Path, typed: Iterable[tuple[str, str]] = ()
) -> str:
    """Return what a terminal receives from a program that runs on it.

    Each pair of `typed` is a text that the terminal must have received, and the keys that are typed then.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    waiting = list(typed)
    program = ["setsid", "--ctty", *arguments]  # its Ctrl-C interrupts the program
    with subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=cwd):
        os.close(theirs)
        received = b""
        try:
            while chunk := os.read(ours, 65536):
                received += chunk
                if waiting and waiting[0][0].encode() in received:
                    os.write(ours, waiting.pop(0)[1].encode())
        except OSError:  # the program has closed its side
            pass
    os.close(ours)
    return received.decode()


_SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|\x1b([78D])|([\r\n\x08])|([^\x00-\x1f]+)")


class Screen:
    """What a terminal shows of the text it has received; text that has scrolled out at the top is kept.

    It knows the sequences that our commands write, and raises ValueError for any other.
    """

    def __init__(self, text: str = "") -> None:
        self._cells = [[" "] * COLUMNS for _ in range(ROWS)]
        self._above: list[str] = []
        self._row = self._column = 0
        self._saved = (0, 0)
        self._wraps = True
        self.write(text)

    @property
    def lines(self) -> list[str]:
        """The lines down to the last one with text, without blanks at their ends."""
        lines = [*self._above, *("".join(row).rstrip() for row in self._cells)]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def write(self, text: str) -> None:
        """Show what the terminal receives next."""
        at = 0
        while at < len(text):
            match = _SEQUENCE.match(text, at)
            if match is None:
                raise ValueError(f"the screen does not know {text[at : at + 12]!r}")
            at = match.end()
            private, number, final, short, control, plain = match.groups()
            if plain:
                self._print(plain)
            elif control or short:
                self._move(control or short)
            else:
                self._sequence(private, number, final)

    def _print(self, text: str) -> None:
        for char in text:
            if self._column == COLUMNS and self._wraps:
                self._column = 0
                self._down()
            self._column = min(self._column, COLUMNS - 1)
            self._cells[self._row][self._column] = char
            self._column += 1

    def _move(self, how: str) -> None:
        if how == "\r":
            self._column = 0
        elif how == "\x08":
            self._column = max(0, self._column - 1)
        elif how == "7":
            self._saved = self._row, self._column
        elif how == "8":
            self._row, self._column = self._saved
        else:  # a line feed, or ESC D
            self._down()

    def _down(self) -> None:
        if self._row == ROWS - 1:
            self._above.append("".join(self._cells.pop(0)).rstrip())
            self._cells.append([" "] * COLUMNS)
        else:
            self._row += 1

    def _sequence(self, private: str, number: str, final: str) -> None:
        if private and number == "7":
            self._wraps = final == "h"
        elif final == "A":
            self._row = max(0, self._row - int(number or 1))
        elif final == "J" and not number:
            for row in self._cells[self._row + 1 :]:
                row[:] = " " * COLUMNS
            self._cells[self._row][self._column :] = " " * (COLUMNS - self._column)
        elif not private and final != "m":
            raise ValueError(f"the screen does not know `{number}{final}`")
