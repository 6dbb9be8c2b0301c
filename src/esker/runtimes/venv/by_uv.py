"""Making and filling virtual environments by uv, and saying what uv has said where it fails."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esker.errors import AlreadyExists, CommandFailed, EskerError, NotFound, UsageError, VenvFailed
from esker.host import files, process
from esker.host.interpreters import inspect
from esker.host.uv import run_uv, run_uv_asking_again
from esker.runtimes.venv.directory import exists, python

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.host.interpreters import Interpreters
    from esker.settings import Settings

__all__ = ["check_place", "failing", "install", "interpreter_for", "make", "reported"]

_VERSION = re.compile(r"(?:(?:cpython-?|python)?)(\d+(?:\.\d+){0,2})")
_MINOR = re.compile(r"==\s*(3\.\d+)\b")
_POSITION = re.compile(r"in `([^`]+)` at position ([0-9]{1,9})")
_COMPLETE = 2
"""The dots of a version that says everything: `3.12.1`."""


def interpreter_for(
    request: str | None, interpreters: Interpreters, variables: dict[str, str], *, wanted: str | None = None, remedy: str = ""
) -> str:
    """Return the program of the Python that is asked for.

    The request is a version (`3.12`, `3.12.1`, `python3.12`), a specifier (`>=3.11`), a path or a program on PATH; None
    means the first of `Interpreters`. A version that this machine lacks is fetched if that is allowed. Raises NotFound
    with what was found, and UsageError for what is no Python. `wanted` is how messages name the Python,
    and `remedy` what else helps where there is none.
    """
    if request is not None and os.sep in request:
        return _program(request, request, variables)
    specifier = _specifier(request or "")
    if specifier is None:
        return _program(str(request), process.find_program(str(request), variables.get("PATH")), variables)
    named = f"Python {request}" if specifier != (request or "") else f"a Python (`{request}`)" if request else "a Python"
    wanted = wanted or named
    interpreter, unfetched = interpreters.obtained(specifier, wanted)
    if interpreter is not None:
        return interpreter.executable
    reason = f", and {unfetched}" if unfetched else ""
    minor = _MINOR.search(specifier)
    name = f"python{minor[1]}" if minor else "pythonX.Y"
    hint = f"install it, then put it on PATH as {name} or set ESKER_PYTHON to its path"
    hint += "".join(f"; {each}" for each in (interpreters.remedy, remedy) if each)
    raise NotFound(f"{wanted[0].upper()}{wanted[1:]} is not on this machine{reason}; found: {interpreters.listed()}", hint=hint)


def _specifier(request: str) -> str | None:
    """Return a specifier of PEP 440 for a request; None if it is neither a version nor a specifier."""
    version = _VERSION.fullmatch(request.strip().lower())
    if version is not None:
        number = version[1]
        return f"=={number}" if number.count(".") == _COMPLETE else f"=={number}.*"
    return request if not request or request.strip()[0] in "<>=!~" else None


def _program(request: str, program: str | None, variables: dict[str, str]) -> str:
    found = None if program is None else inspect(program, variables)
    if found is None:
        raise UsageError(
            f"`{request}` is not a Python", hint="name a version such as 3.12, or the path of an interpreter"
        )
    return found.executable


def make(path: str, interpreter: str, settings: Settings, *, anew: bool = False) -> None:
    """Make a virtual environment at `path`, which does not exist or is an empty directory, for an interpreter.

    Nothing happens if it is there by now; with `anew`, another one takes its place. Raises AlreadyExists if something else is, CommandFailed, which holds uv's
    words, and HostError.
    """
    above = os.path.dirname(path)
    with files.refused("make", above):
        os.makedirs(above, exist_ok=True)
    with _alone(above):
        if anew or not exists(path):
            clearing = ["--clear"] if anew and exists(path) else []
            if not clearing:
                check_place(path)
            run_uv(["venv", "--no-project", *clearing, "--python", interpreter, path], settings.tools, cwd=above)


def check_place(path: str) -> None:
    """Raise AlreadyExists if there is something at a path, and it is neither an environment nor an empty directory."""
    if not exists(path) and os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        kind = "it has no `pyvenv.cfg`" if os.path.isdir(path) else "it is no directory"
        hint = "delete it, or move it away, if it is not needed"
        raise AlreadyExists(f"`{path}` is there already, and it is no virtual environment: {kind}", hint=hint)


@contextmanager
def _alone(directory: str) -> Iterator[None]:
    """Let no other process of Esker's make an environment in the same directory meanwhile; leaves no file behind."""
    import fcntl

    with files.refused("lock", directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with files.refused("lock", directory):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def install(path: str, settings: Settings, cwd: str, packages: Sequence[str] = (), listed: Sequence[str] = ()) -> None:
    """Install packages, and those of the requirements files `listed`, into the virtual environment at `path`.

    Paths in either are relative to `cwd`. Packages that satisfy the requirements stay as they are. Raises CommandFailed.
    """
    for word in (*packages, *listed):
        if word.startswith("-"):
            raise UsageError(f"`{word}` is not the name of a package or file", hint="names do not begin with `-`")
    if packages or listed:
        files_of = [word for name in listed for word in ("-r", name)]
        command = ["pip", "install", "--python", python(path), *files_of, *packages]
        run_uv_asking_again(command, settings.tools, cwd=cwd)


def _with_line(match: re.Match[str], cwd: str) -> str:
    """Return a place in a requirements file by its line, as editors count, where uv counts characters."""
    try:
        with open(os.path.join(cwd, match[1]), encoding="utf-8") as file:
            before = file.read(int(match[2]))
    except (OSError, UnicodeDecodeError):
        return match[0]
    return f"in `{match[1]}`, line {before.count(chr(10)) + 1}"


@contextmanager
def failing(what: str, cwd: str = "") -> Iterator[None]:
    """Let what fails in the block be VenvFailed: `what`, then the cause; uv's own words where uv has failed.

    uv names files by their paths relative to `cwd`.
    """
    try:
        yield
    except CommandFailed as failure:
        first, lines = reported(_POSITION.sub(lambda match: _with_line(match, cwd), failure.output))
        raise VenvFailed(f"{what}: {first or failure.message}", hint=failure.hint, lines_of_uv=lines) from failure
    except VenvFailed:
        raise
    except EskerError as error:
        raise VenvFailed(f"{what}: {error.message}", hint=error.hint) from error


def reported(output: str) -> tuple[str, list[str]]:
    """Return what uv says of its failure: the first line, and what follows it."""
    text = output.partition("error: ")[2] or output
    first, *lines = [line.rstrip() for line in text.splitlines() if line.strip()] or [""]
    return first, lines
