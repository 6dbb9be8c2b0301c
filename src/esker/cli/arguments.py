"""The commands' argument parser: argparse's, with Esker's errors and help."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from esker.cli import directory
from esker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.cli.directory import Option
    from esker.cli.voice import Voice

__all__ = ["Parser", "add_directory", "group_usage", "unknown_command"]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `UsageError`s.

    Examples call the command `esker`; in another voice they call it by that voice's name. `stray` is the hint for words
    that no argument takes, which it ends with; without it, the hint is the command's help.
    """

    def __init__(self, command: str, summary: str, examples: str = "", *, voice: Voice, stray: str = "") -> None:
        super().__init__(
            prog=f"{voice.program} {command}",
            description=summary,
            epilog=f"examples:\n{examples.replace('esker ', f'{voice.program} ')}" if examples else None,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self._stray = stray.replace("esker ", f"{voice.program} ")

    def add_options(self, options: Iterable[Option]) -> None:
        """Add the options of a table."""
        for names, how in options:
            # argparse asks whether the help is its very own word, and not whether it is the same text.
            hidden = {"help": argparse.SUPPRESS} if how.get("help") == directory.HIDDEN else {}
            self.add_argument(*names, **how | hidden)

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of leaving the process."""
        words = message.partition("unrecognized arguments: ")[2]
        if self._stray and words and not words.startswith("-"):
            raise UsageError(message, hint=f"{self._stray} {words}")
        raise UsageError(message, hint=f"see: {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Leave after --help; the one place where argparse itself ends the process."""
        if message:
            sys.stderr.write(message)
        raise SystemExit(status)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal."""

    def __init__(self, prog: str) -> None:
        try:
            width = os.get_terminal_size(1).columns
        except OSError:
            width = 100
        super().__init__(prog, width=min(width, 120) - 2)


def add_directory(parser: Parser) -> None:
    """Add the options that say which environment is meant."""
    parser.add_options(directory.OPTIONS)


def group_usage(group: str, commands: Mapping[str, str]) -> str:
    """Return the help of a command that has commands of its own, each with one line."""
    width = max(map(len, commands)) + 2
    lines = [f"  {name:<{width}}{summary}" for name, summary in commands.items()]
    end = f"`{group} COMMAND --help` shows a command's options and examples."
    return "\n".join([f"usage: {group} COMMAND [OPTIONS]", "", "commands:", *lines, "", end])


def unknown_command(name: str, offered: Iterable[str], *, of: str) -> UsageError:
    """Return the error for a command of `of` that is not there, with the one that was probably meant."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(offered), 1)
    hint = f"did you mean `{of} {near[0]}`?" if near else f"see: {of} --help"
    return UsageError(f"there is no command `{f'{of} {name}'.partition(' ')[2]}`", hint=hint)
