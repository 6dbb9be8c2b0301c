"""Standard output: JSON for programs, and foreign text that is safe for a terminal."""

from __future__ import annotations

import os
import sys

from esker.formats.printable import printable

__all__ = ["fitted", "print_json", "shown"]

_INDENT = 7


def shown(text: str, *, colours: bool = False) -> str:
    """Return foreign text for standard output: unchanged, unless that is a terminal, where control characters show."""
    return printable(text, colours=colours) if sys.stdout.isatty() else text


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value as JSON and flush; without an indent it takes one line."""
    import json

    print(json.dumps(value, indent=indent), flush=True)


def fitted(line: str, width: int | None = None) -> str:
    r"""Return a line as a terminal shows it best: cut between words where it is too long, and indented from there on.

    `width` is the number of columns; without one it is the terminal's, and where there is no terminal nothing is cut.

    >>> print(fitted("* 1  2026-11-30  made: requests was added", 24))
    * 1  2026-11-30  made:
           requests was
           added
    """
    import textwrap

    if width is None:
        try:
            width = os.get_terminal_size(1).columns
        except OSError:
            return line
    if len(line) <= width:
        return line
    wide, indent = max(width, 2 * _INDENT), " " * _INDENT
    lines = textwrap.wrap(line, wide, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)
