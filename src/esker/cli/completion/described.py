"""The commands of `esker` with their options, as its own parsers describe them, and what stands for each value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

from esker.cli import main
from esker.cli.arguments import Parser
from esker.cli.commands import ci, generations, image, include, services, store
from esker.cli.voice import ESKER, Voice
from esker.declare.presets.catalogue import presets

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["GENERAL", "SUBCOMMANDS", "Argument", "Command", "Group", "Kind", "Option", "described_commands", "groups"]

Kind = Literal["project", "directory", "file", "service", "declared", "locked", "program", "command", "free"]
"""What stands for a value: a project's directory; a directory; a file; a service; a package that the manifest
declares; a package of the lock; a program of the environment; any command line; or something that nobody can list."""

GENERAL = ("-q", "--quiet", "-v", "--verbose")
"""The options of every command."""
SUBCOMMANDS = {
    "image": image.COMMANDS,
    "include": include.COMMANDS,
    "services": services.COMMANDS,
    "generations": generations.COMMANDS,
    "store": store.COMMANDS,
    "ci": ci.COMMANDS,
}
"""The commands that have subcommands, each with its line of help."""
_SUBCOMMAND_ALIASES = {"services": services.ALIASES}
_BY_METAVAR: dict[str, Kind] = {
    "DIR": "directory",
    "FILE": "file",
    "MANIFEST": "file",
    "LOCK": "file",
    "PROGRAM": "program",
    "-- COMMAND": "command",
}
_BY_COMMAND: dict[tuple[str, str], Kind] = {
    ("uninstall", "package"): "declared",
    ("upgrade", "package"): "locked",
    ("why", "package"): "locked",
    ("list", "files"): "locked",
    **{(f"services {name}", "name"): "service" for name in services.COMMANDS if name != "add"},
}
"""By the command and the attribute of an argument that its metavar does not tell from others."""


class Argument(NamedTuple):
    """A word that is no option, or the value of an option."""

    kind: Kind
    words: tuple[str, ...] = ()
    """The only possible values; where there are none, the kind says what stands here."""
    repeated: bool = False


class Option(NamedTuple):
    """An option that `--help` shows."""

    names: tuple[str, ...]
    help: str
    value: Argument | None
    """None for an option without a value."""


class Group(NamedTuple):
    """A command that has subcommands, or `esker` itself, whose name is empty."""

    names: tuple[str, ...]
    subcommands: dict[str, str]
    """Each with its line of help."""


class Command(NamedTuple):
    """A command or, such as `services wait`, a subcommand."""

    name: str
    aliases: tuple[str, ...]
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the other names."""
        return (self.name, *self.aliases)


def _other_names(name: str) -> tuple[str, ...]:
    """Return the other names of a command, or with its group of a subcommand."""
    command, _, subcommand = name.partition(" ")
    names = (command, *_meaning(main.ALIASES, command))
    if not subcommand:
        return names[1:]
    subcommands = (subcommand, *_meaning(_SUBCOMMAND_ALIASES.get(command, {}), subcommand))
    return tuple(f"{first} {second}" for first in names for second in subcommands)[1:]


def described_commands() -> list[Command]:
    """Return the commands that `esker --help` shows, with their subcommands in place of those that have some."""
    names: list[str] = []
    for name in main.commands(ESKER):
        names += [f"{name} {each}" for each in SUBCOMMANDS[name]] if name in SUBCOMMANDS else [name]
    return [_described(name) for name in names]


def groups() -> list[Group]:
    """Return `esker` itself, and the commands that have subcommands."""
    below = [Group((name, *_other_names(name)), subcommands) for name, subcommands in SUBCOMMANDS.items()]
    return [Group(("",), main.commands(ESKER)), *below]


def _meaning(aliases: dict[str, str], name: str) -> Iterator[str]:
    return (alias for alias, meant in aliases.items() if meant == name)


def _described(name: str) -> Command:
    options, arguments = [], []
    for action, text in _parser(name).shown_actions():
        value = None if action.nargs == 0 else _argument(name, action)
        if action.option_strings:
            options.append(Option(tuple(action.option_strings), text, value))
        elif value is not None:
            arguments.append(value)
    if name == "activate":  # it splits off the command itself
        arguments.append(Argument("command", repeated=True))
    return Command(name, _other_names(name), tuple(options), tuple(arguments))


def _argument(command: str, action: argparse.Action) -> Argument:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if action.choices is not None:
        words = tuple(map(str, action.choices))
    else:
        words = tuple(metavar.split("|")) if "|" in metavar else ()
    if (command, action.dest) == ("services add", "name"):
        words = tuple(presets())
    kind = _BY_COMMAND.get((command, action.dest)) or _BY_METAVAR.get(metavar, "free")
    if action.option_strings and action.dest == "dir":
        kind = "project"
    return Argument(kind, words, repeated=action.nargs in {"*", "+"})


class _Found(Exception):
    """The parser of a command, instead of its help."""

    def __init__(self, parser: Parser) -> None:
        super().__init__()
        self.parser = parser


class _Asking(Voice):
    """A voice in which the answer to --help is the parser itself."""

    __slots__ = ()

    def show_help(self, parser: argparse.ArgumentParser) -> NoReturn:
        """Hand out the parser."""
        raise _Found(parser) if isinstance(parser, Parser) else TypeError(parser)


def _parser(name: str) -> Parser:
    """Return the parser with which a command reads its arguments."""
    command, *rest = name.split()
    module = __import__(f"esker.cli.commands.{main.COMMANDS[command][0]}", fromlist=["run"])
    try:
        module.run(command, [*rest, "--help"], _Asking(ESKER.program, ESKER.title))
    except _Found as found:
        return found.parser
    raise AssertionError(f"`{name}` shows its help without a Parser: SUBCOMMANDS has to name its subcommands")
