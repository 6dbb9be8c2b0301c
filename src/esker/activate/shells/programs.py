"""The programs of shells, and what every shell other than bash does in the same way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.origin import position
from esker.errors import ActivationFailed
from esker.host.memory_file import descriptor_path, memory_file
from esker.host.process import find_program

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.activate.shells.steps import Script

__all__ = ["entries", "find_shell", "inherited_file", "kept_warning", "lines_before"]


def find_shell(name: str, program: str | None, path: str | None) -> str:
    """Return the absolute path of a shell: `program` if it is a path, else the program `name` on `path`.

    Raises ActivationFailed if there is no such program.
    """
    if program is not None and os.path.isabs(program) and os.access(program, os.X_OK):
        return program
    found = find_program(name, path)
    if found is None:
        hint = f"install {name}, or name another shell: FLOX_SHELL=bash"
        raise ActivationFailed(f"the shell `{name}` is not on PATH", hint=hint)
    return os.path.abspath(found)


def kept_warning(shell: str, names: Iterable[str]) -> str:
    """Return the warning for variables that a shell keeps for itself, so that it cannot be given their values."""
    return f"! Not set, because {shell} keeps variables of these names for itself: {', '.join(names)}"


def entries(before: str) -> tuple[str | None, dict[str, str]]:
    """Return the prompt and the variables that a shell wrote down, each with a NUL behind it.

    The prompt has an `x` in front of it, and is empty if the shell has none.
    """
    prompt, *variables = before.split("\0")
    return prompt[1:] if prompt else None, dict(entry.split("=", 1) for entry in variables if "=" in entry)


def lines_before(script: Script) -> int | None:
    """Return how many lines the manifest has before a script, or None if that cannot be known."""
    try:
        with open(script.manifest, encoding="utf-8") as file:
            first = position(file.read(), script.text, 1)
    except (OSError, ValueError):
        return None
    return None if first is None else first - 1


def inherited_file(closing: str, lines: Iterable[str]) -> str:
    """Return the path of a file in memory with these lines, for a shell to source.

    This process keeps the descriptor open for the shell that it becomes by exec, and the first line closes it there:
    `closing`, with `{0}` for the number of the descriptor.
    """
    descriptor = memory_file(lowest=10)
    with open(descriptor, "wb", closefd=False) as file:
        file.write("".join(f"{line}\n" for line in (closing.format(descriptor), *lines)).encode())
        file.seek(0)
    os.set_inheritable(descriptor, True)
    return descriptor_path(descriptor)
