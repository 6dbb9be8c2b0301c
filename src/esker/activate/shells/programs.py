"""The programs of shells, and what every shell other than bash does in the same way."""

from __future__ import annotations

import os
from contextlib import suppress

from esker.activate.origin import place, position
from esker.errors import ActivationFailed
from esker.host import runtime_directory
from esker.host.memory_file import descriptor_path, memory_file
from esker.host.process import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from esker.activate.shells.steps import Script

__all__ = ["entries", "find_shell", "foreign_warning", "inherited_file", "kept_warning", "lines_before", "private_file"]

_FOREIGN = r"(?:^|[\s;&|(!])\[\[\s"
"""What bash and zsh have, and fish and tcsh have not."""
_PREFIX = "text-"
_STALE = 3600
"""Seconds after which a text that no shell has read is removed."""


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


def foreign_warning(shell: str, script: Script) -> str | None:
    """Return the warning for a script for every shell that fish and tcsh cannot run, or None if nothing is wrong."""
    import re

    if not script.name.endswith(".common"):
        return None
    for number, line in enumerate(script.text.split("\n"), 1):
        if re.search(_FOREIGN, line):
            own = script.name.removesuffix("common")
            where = place(script.manifest, script.text, number)
            return (
                f"! {script.name} uses `[[`, which {shell} does not have ({where}): move it to {own}bash and {own}zsh"
            )
    return None


def private_file(
    removal: str | None, lines: Iterable[str], environ: Mapping[str, str], quoted: Callable[[str], str]
) -> str:
    """Write a file that only its owner can read, for a shell to source, and return its path.

    It is in the user's runtime directory. Its first line removes it: `removal`, with `{}` for the path. Those that no
    shell has read are removed later.
    """
    import tempfile

    directory = runtime_directory.user_directory(environ.get("XDG_RUNTIME_DIR"))
    runtime_directory.make_user(directory)
    _sweep(directory)
    try:
        descriptor, path = tempfile.mkstemp(prefix=_PREFIX, dir=directory)
        with open(descriptor, "wb") as file:
            first = () if removal is None else (removal.format(quoted(path)),)
            file.write(os.fsencode("".join(f"{line}\n" for line in (*first, *lines))))
    except OSError as refusal:
        raise runtime_directory.refused(directory, refusal) from refusal
    return path


def _sweep(directory: str) -> None:
    import time

    now = time.time()
    with os.scandir(directory) as found:
        for entry in found:
            with suppress(OSError):  # another process removes it at the same time
                if entry.name.startswith(_PREFIX) and entry.stat(follow_symlinks=False).st_mtime < now - _STALE:
                    os.unlink(entry.path)
