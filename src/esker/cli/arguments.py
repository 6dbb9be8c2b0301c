"""What the commands' parsers have in common."""

import argparse
import os
import sys

from esker.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["Parser", "add_directory", "split_command"]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse itself imports shutil to ask, at every argument: 2 ms of an activation."""

    def __init__(self, prog: str) -> None:
        try:
            width = os.get_terminal_size(1).columns
        except OSError:
            width = 100
        super().__init__(prog, width=min(width, 120) - 2)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are Esker's, with the examples of the command at the end of its help."""

    def __init__(self, command: str, summary: str, examples: str = "") -> None:
        super().__init__(
            prog=f"esker {command}",
            description=summary,
            epilog=f"examples:\n{examples}" if examples else None,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> "NoReturn":
        """Raise the error instead of leaving the process."""
        raise UsageError(message, hint=f"see: {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> "NoReturn":
        """Leave after --help; the one place where argparse itself ends the process."""
        if message:
            sys.stderr.write(message)
        raise SystemExit(status)


def add_directory(parser: argparse.ArgumentParser) -> None:
    """Add `-d/--dir`."""
    parser.add_argument("-d", "--dir", metavar="DIR", help="the project directory (default: the one around here)")


def split_command(arguments: "list[str]") -> "tuple[list[str], list[str] | None]":
    """Cut at the first `--`: Esker's own arguments, and the command behind it (None when there is no `--`)."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]
