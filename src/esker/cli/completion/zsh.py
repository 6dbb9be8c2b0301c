"""The completion script for zsh: a function with the arguments of each command, and the text that calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.cli.completion.described import groups
from esker.cli.completion.script import fixed, readers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from esker.cli.completion.described import Argument, Command, Option

__all__ = ["render"]


def render(commands: Sequence[Command]) -> str:
    """Return the script."""
    shell, awk = readers()
    lines = [
        "#compdef esker",
        "# Completion of `esker` in zsh, made by: esker completion zsh",
        "_esker_names() {",
        f"command sh -c '{shell}' sh '{awk}' \"$@\" 2>/dev/null",
        "}",
        *_group_functions(),
        f"_esker_takes_command() {{ [[ $1 == {_pattern(_with_command(commands))} ]] }}",
        "_esker_command() {",
        "case $1 in",
        *map(_case, commands),
        "esac",
        "}",
        fixed("completion.zsh"),
    ]
    return "".join(f"{line}\n" for line in lines)


def _case(command: Command) -> str:
    return f"{_pattern(command.names)}) _arguments -s -S {' '.join(_specifications(command))} ;;"


def _group_functions() -> Iterator[str]:
    """Yield the lines of the functions that know the groups."""
    found = groups()
    yield f"_esker_is_group() {{ [[ $1 == {_pattern(name for group in found for name in group.names if name)} ]] }}"
    yield "_esker_group() {"
    yield "local -a commands"
    yield "case $1 in"
    for group in found:
        described = " ".join(_quoted(f"{name}:{text}") for name, text in group.subcommands.items())
        yield f"{_pattern(group.names)}) commands=({described}) ;;"
    yield "esac"
    yield "_describe -t commands command commands"
    yield "}"


def _with_command(commands: Iterable[Command]) -> Iterator[str]:
    for command in commands:
        if any(argument.kind == "command" for argument in command.arguments):
            yield from command.names


def _pattern(names: Iterable[str]) -> str:
    return f"({'|'.join(_quoted(name) for name in names)})"


def _specifications(command: Command) -> Iterator[str]:
    """Yield the words of `_arguments` for a command."""
    for option in command.options:
        yield from _option(option)
    for general in (("-q", "--quiet", "print only errors and results"), ("-v", "--verbose", "print more")):
        yield from (_quoted(f"*{name}[{general[-1]}]") for name in general[:2])
    for argument in command.arguments:
        if argument.kind != "command" or argument.words:  # that of `activate` stands behind `--`
            yield _quoted(f"{'*' if argument.repeated else ''}:{argument.kind}:{_action(argument)}")


def _option(option: Option) -> Iterator[str]:
    text = "".join(f"\\{char}" if char in "[]:\\" else char for char in option.help)
    excluded = f"({' '.join(option.names)})"
    for name in option.names:
        if option.value is None:
            yield _quoted(f"{excluded}{name}[{text}]")
        else:
            joined = "=" if name.startswith("--") else "+"
            yield _quoted(f"{excluded}{name}{joined}[{text}]:{option.value.kind}:{_action(option.value)}")


def _action(argument: Argument) -> str:
    """Return how `_arguments` completes a value: from words, by a function behind a blank, or not at all."""
    if argument.words:
        return f"({' '.join(argument.words)})"
    return " " if argument.kind == "free" else f" _esker_kind {argument.kind}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
