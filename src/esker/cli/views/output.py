"""Standard output: JSON for programs, and foreign text that is safe for a terminal."""

from __future__ import annotations

import sys

from esker.formats.printable import printable

__all__ = ["print_json", "shown"]


def shown(text: str, *, colours: bool = False) -> str:
    """Return foreign text for standard output: unchanged, unless that is a terminal, where control characters show."""
    return printable(text, colours=colours) if sys.stdout.isatty() else text


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value as JSON and flush; without an indent it takes one line."""
    import json

    print(json.dumps(value, indent=indent), flush=True)
