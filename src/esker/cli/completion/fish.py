"""The completion script for fish: a line for each option, and for each kind of word that can stand behind a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.cli.completion.described import groups
from esker.cli.completion.script import fixed, readers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from esker.cli.completion.described import Argument, Command, Option

__all__ = ["render"]

_FILES = "-F"


def render(commands: Sequence[Command]) -> str:
    """Return the script."""
    shell, awk = readers()
    names = [name for group in groups() for name in group.names if name]
    lines = [
        "# Completion of `esker` in fish, made by: esker completion fish",
        "function __esker_names",
        f"command sh -c {_quoted(shell)} sh {_quoted(awk)} $argv 2>/dev/null",
        "end",
        f"set -g __esker_groups {' '.join(map(_quoted, names))}",
        fixed("completion.fish"),
        "complete -c esker -f",
        *_group_lines(),
        *(line for command in commands for line in _command_lines(command)),
    ]
    return "".join(f"{line}\n" for line in lines)


def _group_lines() -> Iterator[str]:
    """Yield the lines for the names of commands, and for the options that stand in front of them."""
    for group in groups():
        condition = _condition("__esker_at", group.names)
        for name, text in group.subcommands.items():
            yield f"complete -c esker -n {condition} -a {_quoted(name)} -d {_quoted(text)}"
    yield f"complete -c esker -n {_condition('__esker_at', [''])} -l version -d 'Print the version'"
    yield "complete -c esker -s h -l help -d 'Show help'"
    yield "complete -c esker -s q -l quiet -d 'Print only errors and results'"
    yield "complete -c esker -s v -l verbose -d 'Print more'"


def _command_lines(command: Command) -> Iterator[str]:
    condition = _condition("__esker_at", command.names)
    for option in command.options:
        if "--help" not in option.names:
            yield f"complete -c esker -n {condition} {' '.join(_option(option))}"
    for argument in command.arguments:
        if argument.kind == "command":
            yield f"complete -c esker -n {_condition('__esker_behind', command.names)} -a '(__esker_rest)'"
        elif values := _values(argument):
            yield f"complete -c esker -n {condition} {values}"


def _condition(function: str, names: Iterable[str]) -> str:
    return _quoted(" ".join([function, *map(_quoted, names)]))


def _option(option: Option) -> Iterator[str]:
    for name in option.names:
        yield f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
    if option.value is not None:
        values = _values(option.value)
        yield f"-r {values}" if values == _FILES else f"-x {values}".rstrip()
    yield f"-d {_quoted(option.help)}"


def _values(argument: Argument) -> str:
    """Return the options of `complete` for what can stand for a value; an empty text if nobody can list that."""
    if argument.words:
        return f"-a {_quoted(' '.join(argument.words))}"
    match argument.kind:
        case "free":
            return ""
        case "file":
            return _FILES
        case "directory":
            return "-a '(__esker_directories)'"
        case "project":
            return "-a '(__esker_names project; __esker_directories)'"
        case kind:
            return f"-a '(__esker_names {kind} $__esker_directory)'"


def _quoted(text: str) -> str:
    """Return the text as one word of fish, with its line breaks."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
