"""The shim: a program called `flox` that runs Esker, in a directory of the user's choice.

It may be called from anywhere, also from inside other environments. So it names its Python interpreter by absolute
path, and ignores the PYTHON* variables of its caller.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SHIM_NAME", "is_own_shim", "write_shim"]

SHIM_NAME = "flox"
_MARK = b"# This `flox` is Esker's: `esker shim flox` wrote it, and will replace it without asking."
_READ = 8192
_LONGEST_LINE = 127
"""Bytes; every kernel reads a `#!` line up to this length."""


def is_own_shim(path: str) -> bool:
    """Return whether the file at `path`, through links, is a `flox` that Esker wrote."""
    try:
        with open(path, "rb") as file:
            return _MARK in file.read(_READ).split(b"\n")
    except OSError:
        return False


def write_shim(directory: str, *, interpreter: str, source: str) -> str:
    """Write `flox` into a directory, which is made if it is missing, and return the path of the shim.

    `interpreter` is an absolute path; `source` is the directory that contains the package `esker`. Raises AlreadyExists
    if the directory has a `flox` that is not Esker's, and leaves that file as it is.
    """
    from esker.errors import AlreadyExists
    from esker.host import files

    path = os.path.join(directory, SHIM_NAME)
    if os.path.lexists(path) and not is_own_shim(path):
        raise AlreadyExists(f"`{path}` is not Esker's, and stays as it is", hint="name another directory, or remove it")
    with files.refused("make", directory):
        os.makedirs(directory, exist_ok=True)
    files.write(path, b"\n".join(_lines(interpreter, source)), mode=0o755)
    return path


def _lines(interpreter: str, source: str) -> Iterator[bytes]:
    program = os.fsencode(interpreter)
    first = b"#!%s -EP" % program
    if len(first) <= _LONGEST_LINE and not set(program) & set(b" \t\n"):
        yield first
    else:  # to the shell these lines are a command, and to Python a string
        yield b"#!/bin/sh"
        yield b"'''exec' '%s' -EP \"$0\" \"$@\"" % program.replace(b"'", b"'\\''")
        yield b"' '''"
    yield _MARK
    yield b"import sys"
    yield b"sys.path.append(%s)" % ascii(source).encode("ascii")
    yield b"from esker.cli.main import flox"
    yield b"sys.exit(flox(sys.argv[1:]))"
    yield b""
