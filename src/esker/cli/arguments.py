"""What the commands' parsers have in common.

A command line that is written as the parser's table says is read here, without argparse, which costs a third of a warm
activation; what is not, and --help, goes to the argparse parser of the same table (`explained`), for its messages.
"""

from __future__ import annotations

import os

from esker.cli.voice import ESKER
from esker.declare.discover import resolved
from esker.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from esker.cli.voice import Voice

__all__ = ["HIDDEN", "Options", "Parser", "add_directory", "group_usage", "place", "split_command", "unknown_command"]

HIDDEN = "==SUPPRESS=="
"""The help of an option that help does not show: argparse's own word for it."""


class Options:
    """What a command line says, an attribute an option."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no option `{name}`")


class Parser:
    """A table of arguments, in argparse's words, and how a command line is read by it.

    Examples call the command `esker`; in another voice they call it by that voice's name. Errors are `UsageError`s.
    """

    def __init__(self, command: str, summary: str, examples: str = "", *, voice: Voice = ESKER) -> None:
        self.prog = f"{voice.program} {command}"
        self.summary = summary
        self.examples = examples.replace("esker ", f"{voice.program} ")
        self.arguments: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.exclusive: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        """Options of which one may be given."""
        self.stray = ""
        """The hint for words that nothing takes, which it ends with; without it, the command's help."""

    def add_argument(self, *names: str, **how: Any) -> None:
        """Add an argument, as argparse does."""
        self.arguments.append((names, how))

    def add_exclusive(self, *names: str, **how: Any) -> None:
        """Add an option that excludes the others which were added so."""
        self.exclusive.append((names, how))

    def parse_args(self, arguments: list[str]) -> Options:
        """Read a command line; raises UsageError, and SystemExit after --help."""
        values = None if self.exclusive else self._read(arguments)
        if values is None:
            from esker.cli.explained import read

            values = read(self, arguments)
        return Options(values)

    def _read(self, arguments: list[str]) -> dict[str, Any] | None:
        """Return the values of a command line of options alone, or None where argparse has to look."""
        values: dict[str, Any] = {}
        options: dict[str, tuple[str, dict[str, Any]]] = {}
        for names, how in self.arguments:
            if not names[0].startswith("-"):
                if how.get("nargs") != "*":
                    return None
                values[names[0]] = []
                continue
            destination = _destination(names, how)
            values[destination] = False if "action" in how else how.get("default")
            if _UNUSUAL.isdisjoint(how):
                options.update((name, (destination, how)) for name in names)
        try:
            values.update(_given(arguments, options))
        except (KeyError, TypeError, ValueError):
            return None
        return values


def _given(arguments: list[str], options: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, Any]]:
    """Yield what each option is given; raises KeyError, TypeError or ValueError for what is not plainly right."""
    words = iter(arguments)
    for word in words:
        name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        destination, how = options[name]
        if "action" in how:
            if joined:
                raise ValueError
            yield destination, True
        else:
            value = value if joined else next(words, "-")
            if value.startswith("-"):
                raise ValueError
            yield destination, how.get("type", str)(value)


_UNUSUAL = frozenset({"nargs", "choices"})


def _destination(names: tuple[str, ...], how: Mapping[str, Any]) -> str:
    """Return the attribute of an option: the one that is named, else its first long name."""
    long = next((name for name in names if name.startswith("--")), names[0])
    return how.get("dest") or long.lstrip("-").replace("-", "_")


def add_directory(parser: Parser) -> None:
    """Add what names an environment: `-d/--dir`, and Flox's options for those on FloxHub."""
    parser.add_argument("-d", "--dir", metavar="DIR", help="the project directory (default: the one around here)")
    parser.add_argument("-r", "--reference", "--ref", metavar="OWNER/NAME", help=HIDDEN)
    parser.add_argument("-D", "--default", action="store_true", help=HIDDEN)


def place(options: Options) -> tuple[str, bool]:
    """Return the directory that the options mean, and whether they name it."""
    if options.reference is not None or options.default:
        named = f"`{options.reference}`" if options.reference is not None else "the default environment"
        hint = "name a project directory: -d DIR"
        raise UsageError(f"{named} is an environment on FloxHub, and those are not there yet", hint=hint)
    if options.dir is not None:
        return options.dir, True
    return resolved(os.curdir), False


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


def split_command(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Cut at the first `--`: Esker's own arguments, and the command behind it (None when there is no `--`)."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]
