"""The completion script for bash: the commands as a `case`, in front of the text that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.cli.completion.described import GENERAL, Argument, groups
from esker.cli.completion.script import fixed, readers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from esker.cli.completion.described import Command

__all__ = ["render"]


def render(commands: Sequence[Command]) -> str:
    """Return the script."""
    shell, awk = readers()
    lines = [
        "# Completion of `esker` in bash, made by: esker completion bash",
        "_esker_names() {",
        f"command sh -c '{shell}' sh '{awk}' \"$@\" 2>/dev/null",
        "}",
        "_esker_command() {",
        "options='' values='' arguments='' group=''",
        "case $1 in",
        *_cases(commands),
        "esac",
        "}",
        fixed("completion.bash"),
    ]
    return "".join(f"{line}\n" for line in lines)


def _cases(commands: Sequence[Command]) -> Iterator[str]:
    """Yield a branch for what stands before the first command, one for each group, and one for each command."""
    for group in groups():
        general = ["-h", "--help", *(() if group.names[0] else ("--version",)), *GENERAL]
        subcommands = _kind(Argument("free", tuple(group.subcommands)))
        fields = {"command": [group.names[0]], "group": ["y"], "options": general, "arguments": [subcommands]}
        yield _branch(group.names, fields)
    for command in commands:
        options = [*(name for option in command.options for name in option.names), *GENERAL]
        values = [
            f"{name}={_kind(option.value)}"
            for option in command.options
            if option.value is not None
            for name in option.names
        ]
        fields = {
            "command": [command.name],
            "options": options,
            "values": values,
            "arguments": [_kind(argument) for argument in command.arguments],
        }
        yield _branch(command.names, fields)


def _branch(names: Iterable[str], fields: Mapping[str, Iterable[str]]) -> str:
    assigned = [f"{name}='{' '.join(words)}'" for name, words in fields.items()]
    patterns = " | ".join(f"'{name}'" for name in names)
    return f"{patterns}) {' '.join(assigned)} ;;"


def _kind(argument: Argument) -> str:
    return f":{'|'.join(argument.words)}" if argument.words else argument.kind
