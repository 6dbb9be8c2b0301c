"""What goes to standard output: data for programs, and texts of others as a terminal may show them."""

from __future__ import annotations

import sys

from esker.formats.printable import printable

__all__ = ["print_json", "shown"]


def shown(text: str, *, colours: bool = False) -> str:
    """Return a text of others as standard output takes it: as it is, unless that is a terminal."""
    return printable(text, colours=colours) if sys.stdout.isatty() else text


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value as JSON at once: a line of it without an indent."""
    import json

    print(json.dumps(value, indent=indent), flush=True)
