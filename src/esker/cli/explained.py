"""argparse over a parser's table: for its help, and for what it says of a command line that is not well written."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from esker.cli.arguments import HIDDEN
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.arguments import Parser

__all__ = ["read"]


def read(parser: Parser, arguments: list[str]) -> dict[str, Any]:
    """Return the values of a command line by name; raises UsageError, and SystemExit after --help."""
    explained = _Explained(
        prog=parser.prog,
        description=parser.summary,
        epilog=f"examples:\n{parser.examples}" if parser.examples else None,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    explained.stray = parser.stray
    for names, how in parser.arguments:
        explained.add_argument(*names, **_shown(how))
    if parser.exclusive:
        group = explained.add_mutually_exclusive_group()
        for names, how in parser.exclusive:
            group.add_argument(*names, **_shown(how))
    return vars(explained.parse_args(arguments))


def _shown(how: dict[str, Any]) -> dict[str, Any]:
    """Return an argument's settings with argparse's very own word for one that is hidden: it asks for identity."""
    return how | {"help": argparse.SUPPRESS} if how.get("help") == HIDDEN else how


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal."""

    def __init__(self, prog: str) -> None:
        try:
            width = os.get_terminal_size(1).columns
        except OSError:
            width = 100
        super().__init__(prog, width=min(width, 120) - 2)


class _Explained(argparse.ArgumentParser):
    """An argument parser whose errors are Esker's."""

    stray = ""

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of leaving the process."""
        words = message.partition("unrecognized arguments: ")[2]
        if self.stray and words and not words.startswith("-"):
            raise UsageError(message, hint=f"{self.stray} {words}")
        raise UsageError(message, hint=f"see: {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Leave after --help; the one place where argparse itself ends the process."""
        if message:
            sys.stderr.write(message)
        raise SystemExit(status)
