"""The profile: one store path whose bin, lib and share are what an activation puts on the caller's path.

It holds links into the Python environment and the programs of its wheels. `pyvenv.cfg` at its root makes `bin/python`
find the packages; site-packages is a real directory of links, so that the project's own source can stand beside them.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed
from esker.formats.nix import store_path
from esker.realise.programs import Program, check_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.realise.wheels import PythonEnvironment
    from esker.store.store import Store

__all__ = ["OWN_COMMANDS", "profile", "source_directories"]

OWN_COMMANDS = ("pip", "pip3")
"""What is the profile's own in bin, unless pip is locked."""

RECIPE = 4
"""Raised whenever the same inputs would give another tree."""

# A script is started by the interpreter beside it: through the project's link, as `python` itself is, so that both
# agree on sys.prefix; through the script's real place when it was linked to from somewhere else.
_SCRIPT_HEAD = b"""\
#!/bin/sh
'''exec' "$(if [ -L "$0" ]; then dirname -- "$(realpath -- "$0")"; else printf %s "${0%/*}"; fi)/python" "$0" "$@"
' '''
"""
_UV_HEAD = b"""\
#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python' "$0" "$@"
' '''
"""
_REFUSAL = "this environment is made from its manifest and cannot be changed by pip"
_ADVICE = "esker install pypi/NAME"
_PIP_COMMAND = f"""\
#!/bin/sh
echo "pip: {_REFUSAL}" >&2
echo "hint: {_ADVICE}" >&2
exit 1
"""
_PIP_MODULE = f'''\
"""Stands where pip would be: `python -m pip` says how this environment is changed."""

if __name__ == "__main__":
    raise SystemExit("pip: {_REFUSAL}\\nhint: {_ADVICE}")

raise ModuleNotFoundError("No module named 'pip'", name="pip")
'''
# Whoever may write here, as root may, must not: pytest would put its own byte code beside the modules it rewrites.
_NO_BYTE_CODE = "import os, sys; sys.dont_write_bytecode |= os.access(sys._getframe(1).f_locals['sitedir'], os.W_OK)\n"
# Where pip itself is locked, its reading commands stay; `install` and `uninstall` are sent to a file that says why not.
_PIP_CONFIGURATION = f"""\
[install]
requirement = /nonexistent/{_REFUSAL.replace(" ", "-")}--{_ADVICE.replace(" ", "-")}
[uninstall]
requirement = /nonexistent/{_REFUSAL.replace(" ", "-")}--{_ADVICE.replace(" ", "-")}
"""


def profile(
    store: Store,
    name: str,
    python: PythonEnvironment | None,
    *,
    programs: Sequence[Program] = (),
    source: Sequence[str] = (),
) -> str:
    """Return the store path of the profile over a Python environment, made if it is not there yet.

    `programs` come into bin, the absolute directories in `source` on Python's path. Raises `RealisationFailed` for a
    program that does not start on this host.
    """
    linked = [[program.name, os.path.relpath(program.path, store.directory)] for program in programs]
    key = [RECIPE, python and os.path.basename(python.path), linked, list(source)]

    def fill(directory: str) -> None:
        os.makedirs(f"{directory}/bin")
        os.makedirs(f"{directory}/lib")
        if python is not None:
            _fill_python(directory, python, source)
        for program in programs:
            check_program(program.path, program.wheel)
            _link(program.path, f"{directory}/bin/{program.name}")

    references = [python.path] if python is not None else []
    return store.build(
        f"{store_path.fitting(name) or 'environment'}-profile",
        "profile:" + json.dumps(key),
        fill,
        references=references,
    )


def _fill_python(directory: str, python: PythonEnvironment, source: Sequence[str]) -> None:
    environment, libraries = python
    for entry in sorted(os.listdir(environment)):
        if entry not in {"bin", "lib", "lib64"}:
            _link(f"{environment}/{entry}", f"{directory}/{entry}")
    os.symlink("lib", f"{directory}/lib64")
    for entry in sorted(os.listdir(f"{environment}/bin")):
        _add_command(f"{environment}/bin/{entry}", f"{directory}/bin/{entry}")
    target = f"{directory}/{os.path.relpath(libraries, environment)}"
    os.makedirs(target)
    for entry in sorted(os.listdir(libraries)):
        _link(f"{libraries}/{entry}", f"{target}/{entry}")
    if source:
        _write(f"{target}/esker-source.pth", "".join(f"{_path_line(path)}\n" for path in source), 0o644)
    _write(f"{target}/esker-store.pth", _NO_BYTE_CODE, 0o644)
    _refuse_pip(directory, target)


def _path_line(path: str) -> str:
    """Return the line of a .pth file for a directory; Python reads it by the locale, and stops where that fails."""
    return path if path.isascii() else f"import sys; sys.path.append({path!a})"


def _add_command(path: str, target: str) -> None:
    if os.path.islink(path) or os.path.isdir(path):
        _link(path, target)
        return
    with open(path, "rb") as file:
        head = file.read(len(_UV_HEAD))
        if head != _UV_HEAD:
            check_program(path, "a package of the lock")
            _link(path, target)
            return
        content = _SCRIPT_HEAD + file.read()
    with open(target, "wb") as file:
        file.write(content)
    os.chmod(target, 0o755)  # noqa: S103  # a command; the store makes it 0555


def _refuse_pip(directory: str, libraries: str) -> None:
    if os.path.lexists(f"{libraries}/pip") or os.path.lexists(f"{libraries}/pip.py"):
        if os.path.lexists(f"{directory}/pip.conf"):
            raise RealisationFailed("a locked package brings a `pip.conf` of its own", hint="take that package out")
        _write(f"{directory}/pip.conf", _PIP_CONFIGURATION, 0o644)
        return
    _write(f"{libraries}/pip.py", _PIP_MODULE, 0o644)
    for name in OWN_COMMANDS:
        _write(f"{directory}/bin/{name}", _PIP_COMMAND, 0o755)


def _link(path: str, target: str) -> None:
    """Link to another store path, relatively: the final place of `target` is beside it, as its temporary one is."""
    os.symlink(os.path.relpath(path, os.path.dirname(target)), target)


def _write(path: str, content: str, mode: int) -> None:
    """Write a file of the profile's own; a package's of that name, which may be a link to it, gives way."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "x", encoding="utf-8") as file:
        file.write(content)
    os.chmod(path, mode)


def source_directories(project: str, source: Sequence[str]) -> list[str]:
    """Return the absolute directories of `source`; one that is not there is an error naming it."""
    found = []
    for entry in source:
        path = os.path.normpath(os.path.join(project, entry))
        if not os.path.isdir(path):
            raise RealisationFailed(
                f"`{entry}`, named by `source` in [plugins.esker.python], is no directory of the project",
                hint="name a directory relative to the one that holds .flox",
            )
        if not _fits_a_line(path):
            raise RealisationFailed(
                f"`{entry}`, named by `source` in [plugins.esker.python], cannot be on Python's path: {path!a}",
                hint="give it, and what it lies in, names of UTF-8 without line breaks",
            )
        found.append(path)
    return found


def _fits_a_line(path: str) -> bool:
    """Return whether a line of a `.pth` file can say a path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return path.splitlines() == [path.rstrip()]
