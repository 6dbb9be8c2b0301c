"""The commands' argument parser: argparse's, with Esker's errors and help."""

from __future__ import annotations

import argparse
import os
import sys
from types import MappingProxyType

from esker.cli import directory
from esker.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import NoReturn

    from esker.cli.directory import Option
    from esker.cli.voice import Voice

__all__ = ["Parser", "add_directory", "add_python_downloads", "run_group", "seconds", "unknown_command"]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `UsageError`s.

    `examples` and `stray` say `esker`; another voice's name takes its place. `stray` is the hint for words that no
    argument takes, and those words are appended to it. Without it, the hint points to the command's help.
    """

    def __init__(self, command: str, summary: str, examples: str = "", *, voice: Voice, stray: str = "") -> None:
        super().__init__(
            prog=f"{voice.program} {command}",
            description=summary,
            epilog=f"examples:\n{examples.replace('esker ', f'{voice.program} ')}" if examples else None,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self._voice = voice
        self._stray = stray.replace("esker ", f"{voice.program} ")

    def add_options(self, options: Iterable[Option]) -> None:
        """Add the options of a table like `directory.OPTIONS`."""
        for names, how in options:
            # argparse compares with `is`: only its own SUPPRESS object hides an option, not an equal text.
            hidden = {"help": argparse.SUPPRESS} if how.get("help") == directory.HIDDEN else {}
            self.add_argument(*names, **how | hidden)

    def print_help(self, _: object = None) -> None:
        """Answer --help."""
        self._voice.show_help(self)

    def shown_actions(self) -> Iterator[tuple[argparse.Action, str]]:
        """Yield what argparse knows of each argument that the help shows, with its text."""
        formatter = self._get_formatter()
        for action in self._actions:
            if action.help != argparse.SUPPRESS:
                yield action, formatter._expand_help(action) if action.help else ""  # noqa: SLF001 - nothing public does it

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Raise UsageError for a value that is none of an argument's words; its hint suggests the closest ones."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            near = _near(str(value), [str(choice) for choice in action.choices or ()])
            if not near:
                raise
            listed = " or ".join(f"`{each}`" for each in near)
            raise UsageError(str(error), hint=f"did you mean {listed}?") from None

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, where argparse would end the process."""
        words = message.partition("unrecognized arguments: ")[2]
        if self._stray and words and not words.startswith("-"):
            raise UsageError(message, hint=f"{self._stray} {words}")
        if words.startswith("-"):
            from difflib import get_close_matches

            option = words.split()[0].partition("=")[0]
            shown = [name for name, action in self._option_string_actions.items() if action.help != argparse.SUPPRESS]
            if near := get_close_matches(option, shown, 1, 0.75):
                raise UsageError(message, hint=f"did you mean `{near[0]}`?")
        raise UsageError(message, hint=f"see: {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit after --help, the only case in which argparse still ends the process."""
        if message:
            sys.stderr.write(message)
        raise SystemExit(status)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, up to 120 columns."""

    def __init__(self, prog: str) -> None:
        try:
            width = os.get_terminal_size(1).columns
        except OSError:
            width = 100
        super().__init__(prog, width=min(width, 120) - 2)


def add_directory(parser: Parser) -> None:
    """Add the options that name the environment."""
    parser.add_options(directory.OPTIONS)


def add_python_downloads(parser: Parser) -> None:
    """Add the option that forbids to fetch a Python."""
    parser.add_options([directory.NO_PYTHON_DOWNLOADS])


def run_group(
    group: str,
    arguments: Sequence[str],
    voice: Voice,
    commands: Mapping[str, str],
    functions: Mapping[str, Callable[[list[str], Voice], int]],
    *,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Run a command `group` that has subcommands: one of its `functions`, or its help; raises UsageError.

    `commands` has a line of help for each subcommand that people call; `elsewhere` is as for `unknown_command`.
    """
    group = f"{voice.program} {group}"
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_group_usage(group, commands))
        return 0
    word, *rest = arguments
    if word not in functions:
        raise unknown_command(word, commands, of=group, elsewhere=elsewhere)
    return functions[word](rest, voice)


def _group_usage(group: str, commands: Mapping[str, str]) -> str:
    """Return the help of a command that has subcommands, each with a line of help."""
    width = max(map(len, commands)) + 2
    lines = [f"  {name:<{width}}{summary}" for name, summary in commands.items()]
    end = f"`{group} COMMAND --help` shows a command's options and examples."
    return "\n".join([f"usage: {group} COMMAND [OPTIONS]", "", "commands:", *lines, "", end])


def unknown_command(
    name: str, offered: Iterable[str], *, of: str, elsewhere: Mapping[str, str] = MappingProxyType({})
) -> UsageError:
    """Return the error for a name that is no subcommand of `of`; its hint suggests the closest one.

    `elsewhere` has the commands of programs that do the same, and what to type in their place.
    """
    if name in elsewhere:
        error = f"there is no command `{f'{of} {name}'.partition(' ')[2]}`"
        return UsageError(error, hint=f"for that there is `{of.partition(' ')[0]} {elsewhere[name]}`")
    near = _near(name, list(offered))
    listed = " or ".join(f"`{of} {each}`" for each in near)
    hint = f"did you mean {listed}?" if near else f"see: {of} --help"
    return UsageError(f"there is no command `{f'{of} {name}'.partition(' ')[2]}`", hint=hint)


def _near(word: str, offered: Sequence[str]) -> list[str]:
    """Return the offered words that begin with `word`, else the closest one if it is close enough."""
    from difflib import get_close_matches

    return [each for each in offered if word and each.startswith(word)] or get_close_matches(word, offered, 1)


def seconds(text: str) -> float:
    """Return the seconds in an argument, which may have units; raises UsageError."""
    from math import isfinite

    from esker.declare.notations import duration
    from esker.formats.tables.reader import Refusal

    try:
        try:
            number = float(text)
        except ValueError:
            number = duration(text)
    except Refusal:
        number = -1
    if number < 0 or not isfinite(number):
        hint = "write seconds, or numbers with units: 20, 0.5, 90s, 500ms or 1m30s"
        raise UsageError(f"`{text}` is not a time to wait", hint=hint)
    return number
