"""Lines that a terminal shows below its cursor while a command works.

The cursor stays where it was, so that whatever else writes to the terminal (the echo of a key, a program in the
background) continues its own text, and we only ever erase what comes after that text. If the cursor stood below our
lines, we would have to move it up by their number, and would hit the text that others have written meanwhile.
"""

from __future__ import annotations

import os
import sys

__all__ = ["Drawing", "can_draw"]

_FEWEST_ROWS = 3
_DOWN = "\x1bD"
"""One row down in the same column; in the last row everything scrolls."""
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"
_ERASE_BELOW = "\x1b[J"


def can_draw() -> bool:
    """Return whether stderr is a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}


class Drawing:
    """The lines below the cursor of the terminal on stderr."""

    def __init__(self, title: str = "") -> None:
        """`title` is printed where the cursor is, and stays: lines to `leave` then follow a line with text."""
        self._is_drawn = False
        if title:
            _write(title)

    def draw(self, lines: list[str]) -> None:
        """Show these lines instead of those drawn before."""
        lines = _fitting(lines, *_terminal_size())
        # The rows below the cursor are made first: if they scrolled later, the saved position would be wrong.
        room = _DOWN * len(lines) + f"\x1b[{len(lines)}A"
        text = "".join(f"\r\n{line}" for line in lines)
        self._is_drawn = True
        _write(f"{_ERASE_BELOW}{room}{_SAVE}{_CUT}{text}{_WRAP}{_RESTORE}")

    def erase(self) -> None:
        """Remove the lines at once: the next program that writes to the terminal does not wait for our buffer."""
        if self._is_drawn:
            self._is_drawn = False
            _write(_ERASE_BELOW)

    def leave(self, lines: list[str]) -> None:
        """Print these lines for good, with the cursor after them."""
        _write("".join(f"\r\n{line}" for line in lines) + "\r\n")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _terminal_size() -> tuple[int, int]:
    """Return the columns and rows of the terminal, or 80 and 24 if it does not know them."""
    columns, rows = os.get_terminal_size(sys.stderr.fileno())
    return columns or 80, rows if rows > _FEWEST_ROWS else 24


def _fitting(lines: list[str], columns: int, rows: int) -> list[str]:
    """Return `lines` cut to the terminal: below the cursor there is one row less than the terminal has."""
    room = rows - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} more: see esker services status"]
    return [line[:columns] for line in lines]
