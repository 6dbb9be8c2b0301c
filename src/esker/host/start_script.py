"""Start scripts: programs that run this Esker with its own interpreter, isolated from their caller (see `isolation`).

No installer writes such a script. pip and uv drop Python's options from the `#!` line of a script in a wheel. A script
for `sh` would lose the caller's exported functions, because dash passes on no variable whose name is not an identifier.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.errors import AlreadyExists
from esker.host import files
from esker.host.isolation import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_own", "write"]

_READ = 8192
"""Bytes; the mark of a start script is in its first lines."""
_LONGEST_LINE = 127
"""Bytes; every kernel reads a `#!` line up to this length."""


def is_own(path: str, name: str) -> bool:
    """Return whether the file at `path`, or the one that it links to, is a start script `name` that Esker wrote."""
    try:
        with open(path, "rb") as file:
            return _mark(name) in file.read(_READ).split(b"\n")
    except OSError:
        return False


def write(directory: str, name: str, *, entry: str, interpreter: str, source: str) -> str:
    """Write a start script into a directory, which is made if it is missing, and return the path of the script.

    The script calls the function `entry` of `esker.__main__`. `interpreter` is an absolute path; `source` is the
    directory that contains the package `esker`. Raises AlreadyExists if there is a file of that name that Esker did not
    write; the file stays as it is.
    """
    path = os.path.join(directory, name)
    if os.path.lexists(path) and not is_own(path, name):
        raise AlreadyExists(f"`{path}` is not Esker's, and stays as it is", hint="name another directory, or remove it")
    with files.refused("make", directory):
        files.make_directory(directory, mode=0o755)
    files.write(path, b"\n".join(_lines(name, entry, interpreter, source)), mode=0o755)
    return path


def _mark(name: str) -> bytes:
    return f"# This `{name}` is Esker's: `esker shim {name}` wrote it, and will replace it without asking.".encode()


def _lines(name: str, entry: str, interpreter: str, source: str) -> Iterator[bytes]:
    program = os.fsencode(interpreter)
    options = OPTIONS.encode()
    first = b"#!%s %s" % (program, options)
    if len(first) <= _LONGEST_LINE and not set(program) & set(b" \t\n"):
        yield first
    else:  # to the shell these lines are a command, and to Python a string
        yield b"#!/bin/sh"
        yield b"'''exec' '%s' %s \"$0\" \"$@\"" % (program.replace(b"'", b"'\\''"), options)
        yield b"' '''"
    yield _mark(name)
    yield b"import sys"
    yield b"sys.path.append(%s)" % ascii(source).encode("ascii")
    yield b"from esker.__main__ import %s" % entry.encode()
    yield b"sys.exit(%s())" % entry.encode()
    yield b""
