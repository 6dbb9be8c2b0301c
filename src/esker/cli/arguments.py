"""What the commands' parsers have in common."""

import argparse
import os
import sys

from esker.cli.voice import ESKER
from esker.errors import NotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from esker.cli.voice import Voice

__all__ = ["Parser", "add_directory", "place", "split_command"]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse itself imports shutil to ask, at every argument: 2 ms of an activation."""

    def __init__(self, prog: str) -> None:
        try:
            width = os.get_terminal_size(1).columns
        except OSError:
            width = 100
        super().__init__(prog, width=min(width, 120) - 2)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are Esker's, with the examples of the command at the end of its help.

    Examples call the command `esker`; in another voice they call it by that voice's name.
    """

    def __init__(self, command: str, summary: str, examples: str = "", *, voice: "Voice" = ESKER) -> None:
        super().__init__(
            prog=f"{voice.program} {command}",
            description=summary,
            epilog=f"examples:\n{examples.replace('esker ', f'{voice.program} ')}" if examples else None,
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
    """Add what names an environment: `-d/--dir`, and Flox's options for those on FloxHub."""
    parser.add_argument("-d", "--dir", metavar="DIR", help="the project directory (default: the one around here)")
    parser.add_argument("-r", "--reference", "--ref", metavar="OWNER/NAME", help=argparse.SUPPRESS)
    parser.add_argument("-D", "--default", action="store_true", help=argparse.SUPPRESS)


def place(options: argparse.Namespace) -> tuple[str, bool]:
    """Return the directory that the options mean, and whether they name it."""
    if options.reference is not None or options.default:
        named = f"`{options.reference}`" if options.reference is not None else "the default environment"
        hint = "name a project directory: -d DIR"
        raise UsageError(f"{named} is an environment on FloxHub, and those are not there yet", hint=hint)
    if options.dir is not None:
        return options.dir, True
    try:
        return os.getcwd(), False
    except FileNotFoundError:
        raise NotFound("the current directory does not exist any more", hint="go elsewhere: cd") from None


def split_command(arguments: "list[str]") -> "tuple[list[str], list[str] | None]":
    """Cut at the first `--`: Esker's own arguments, and the command behind it (None when there is no `--`)."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]
