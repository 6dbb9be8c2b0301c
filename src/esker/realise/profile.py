"""The profile: one store path, whose bin, lib and share an activation puts on the caller's search paths.

It is the Python environment: `pyvenv.cfg` at its root makes `bin/python` find the packages. Most of what it holds are
links to the store paths of wheels and to the prefix of the conda packages. bin, lib and site-packages are real
directories, because the profile adds files of its own, one of which puts the project's source on Python's path.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import RealisationFailed
from esker.formats.abridged import abridged
from esker.formats.nix import store_path
from esker.progress import Silent
from esker.realise import pip_refusal, pytest_plugin
from esker.realise.byte_code import NO_BYTE_CODE
from esker.realise.linking import Tree, link_trees
from esker.realise.programs import WheelProgram, check_program
from esker.realise.run_paths import is_marked
from esker.realise.script_heads import LONGEST_UV_HEAD, UV_HEAD

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.progress import Progress
    from esker.realise.linking import Clash
    from esker.realise.wheels import Wheel
    from esker.store.store import Store

__all__ = ["OWN_COMMANDS", "Packages", "profile"]

OWN_COMMANDS = ("pip", "pip3")
"""The commands in bin that the profile writes itself, unless pip is locked."""

RECIPE = 8
"""Increase it whenever the same inputs would give a different tree."""

_MOST_REMARKS = 5
_RENAME = "rename it in [project.scripts]"

# A script runs the `python` beside the path that it was called by. That path leads through the project's link, as the
# path of `python` itself does, so that both agree on sys.prefix. If somebody has linked to the script from elsewhere,
# it runs the `python` beside its real file.
#
# To Python the second line is a comment, which may begin with a form feed. So the script keeps its first statements:
# its docstring, and imports from `__future__`. To the shell a form feed is a letter, and the line is no comment. It
# begins with a command that never exists, because a slash ends its name, and goes on with what follows `||`.
_SCRIPT_HEAD = b"""\
#!/bin/sh
\f#/ 2>/dev/null || exec \
"$(if [ -L "$0" ]; then dirname -- "$(realpath -- "$0")"; else printf %%s "${0%%/*}"; fi)/python" "$0" "$@"%s
"""
_PYTHONS = re.compile(r"python[0-9.]*(-config)?")


class Packages(NamedTuple):
    """The Python packages of an environment."""

    interpreter: Interpreter
    wheels: tuple[Wheel, ...]
    """By name; of files that several bring, the last one's is taken."""
    editable: tuple[Wheel, ...] = ()
    """The editable builds of the project itself, and of packages that it takes from directories."""
    source: tuple[str, ...] = ()
    """Absolute directories that are put on Python's path."""


def profile(
    store: Store,
    name: str,
    python: Packages | None,
    *,
    conda: str | None = None,
    programs: Sequence[WheelProgram] = (),
    with_pytest_plugin: bool = False,
    progress: Progress | None = None,
) -> str:
    """Return the store path of the profile of Python packages, building it if it is missing.

    `conda` is the store path of the prefix of the conda packages. Without Python packages its own Python is the
    environment's; else only what belongs to no Python is taken from it. `programs` are linked in bin. Files that
    several packages bring are remarked on. Raises `RealisationFailed` for a program that cannot start on this host, and
    for a file of the project's that a package brings as well.
    """
    wheels, editable, source = (python.wheels, python.editable, python.source) if python else ((), (), ())
    linked = [[program.name, os.path.relpath(program.path, store.directory)] for program in programs]
    interpreter = python and [python.interpreter.executable, python.interpreter.version, python.interpreter.libraries]
    key: list[object] = [RECIPE, interpreter, [os.path.basename(wheel.path) for wheel in wheels], linked, list(source)]
    key += [pytest_plugin.fingerprint() if with_pytest_plugin else None]
    key += [os.path.basename(build.path) for build in editable] or [None]
    key += [conda and os.path.basename(conda)]
    key += sorted(_needing_neighbours() & {wheel.name for wheel in wheels})

    def fill(directory: str) -> None:
        os.makedirs(f"{directory}/bin")
        os.makedirs(f"{directory}/lib")
        trees = [Tree("conda", conda, by_file=False, hidden=_not_joined(conda, python))] if conda else []
        if python is not None:
            copies = _fill_python(directory, python, trees, progress or Silent())
        else:
            copies = link_trees(trees, directory, real={"bin", "lib"}, place=partial(_place, directory)).copies
        if python is not None and with_pytest_plugin:
            pytest_plugin.add(f"{directory}/{python.interpreter.libraries}")
        for program in programs:
            check_program(program.path, program.wheel)
            copy = copies.get(program.path)
            _link(f"{directory}/{copy}" if copy else program.path, f"{directory}/bin/{program.name}")

    return store.build(
        f"{store_path.fitting(name) or 'environment'}-profile",
        "profile:" + json.dumps(key),
        fill,
        references=[*(wheel.path for wheel in (*wheels, *editable)), *([conda] if conda else [])],
    )


def _not_joined(prefix: str, python: Packages | None) -> frozenset[str]:
    """Return what is not taken from the prefix of conda packages: its records and, beside wheels, what is its Python's.

    Beside wheels that is the library of its Python, whose modules would not be importable, and the programs that its
    Python runs.
    """
    if python is None:
        return frozenset({"conda-meta"})
    libraries = os.path.dirname(python.interpreter.libraries)
    with os.scandir(f"{prefix}/bin") if os.path.isdir(f"{prefix}/bin") else nullcontext(()) as entries:
        programs = [f"bin/{entry.name}" for entry in entries if _PYTHONS.fullmatch(entry.name) or _is_for_python(entry)]
    return frozenset({"conda-meta", libraries, *programs, *(f"bin/{name}" for name in OWN_COMMANDS)})


def _is_for_python(program: os.DirEntry[str]) -> bool:
    if not program.is_file():
        return False
    with open(program.path, "rb") as file:
        first = file.readline(LONGEST_UV_HEAD)
    return first.startswith(b"#!") and b"python" in first


def _place(directory: str, path: str, relative: str) -> None:
    """Put a file or a directory of a package into the profile."""
    if os.path.dirname(relative) == "bin" and _PYTHONS.fullmatch(os.path.basename(relative)):
        os.symlink(path, f"{directory}/{relative}")  # absolute, as in `_make_environment`
    elif os.path.dirname(relative) == "bin":
        _add_command(path, f"{directory}/{relative}")
    else:
        _link(path, f"{directory}/{relative}")


def _fill_python(directory: str, python: Packages, others: Sequence[Tree], progress: Progress) -> Mapping[str, str]:
    """Fill the profile with Python packages and `others`, and return where in it programs were copied to."""
    interpreter, wheels, editable, source = python
    _make_environment(directory, interpreter)
    target = f"{directory}/{interpreter.libraries}"
    os.makedirs(target)

    neighbours = _needing_neighbours()
    trees = [Tree(wheel.name, wheel.path, is_marked(wheel.path) or wheel.name in neighbours) for wheel in wheels]
    trees = [*others, *trees]  # of one name, the wheel's is taken
    for build in editable:
        _check_commands(build, f"{directory}/bin")
    trees += [Tree(build.name, build.path, by_file=False) for build in editable]
    above = interpreter.libraries.split("/")
    real = {"bin", *("/".join(above[:depth]) for depth in range(1, len(above) + 1))}
    linked = link_trees(trees, directory, real=real, place=partial(_place, directory))
    _refuse_clashes(linked.clashes, {build.name for build in editable})
    _remark_on(linked.clashes, progress)
    if source:
        _write(f"{target}/esker-source.pth", "".join(f"{_path_line(path)}\n" for path in source), 0o644)
    _write(f"{target}/esker-store.pth", NO_BYTE_CODE, 0o644)
    _refuse_pip(directory, target)
    return linked.copies


def _make_environment(directory: str, interpreter: Interpreter) -> None:
    """Make what a virtual environment consists of without its packages."""
    os.symlink("lib", f"{directory}/lib64")
    # `python` leads to the interpreter, and the other links to `python`. To find `sys._base_executable`, Python follows
    # links by their text alone. From the project's link to us, a relative link to another place would lead it to a path
    # beside that link, where nothing is, and every venv made here would be made from that path.
    os.symlink(interpreter.executable, f"{directory}/bin/python")
    major, minor = interpreter.release
    for name in ("python3", f"python{major}.{minor}"):
        os.symlink("python", f"{directory}/bin/{name}")
    _write(
        f"{directory}/pyvenv.cfg",
        f"home = {os.path.dirname(interpreter.executable)}\n"
        "implementation = CPython\n"
        f"version_info = {interpreter.version}\n"
        "include-system-site-packages = false\n"
        "relocatable = true\n",
        0o644,
    )


def _needing_neighbours() -> set[str]:
    """Return the names of the packages that are known to look for another package beside their own directory."""
    import tomllib

    with open(os.path.join(os.path.dirname(__file__), "known_neighbours.toml"), "rb") as file:
        return set(tomllib.load(file))


def _remark_on(clashes: Sequence[Clash], progress: Progress) -> None:
    first, others = abridged(clashes, _MOST_REMARKS)
    for clash in first:
        names = " and ".join(f"`{name}`" for name in clash.names)
        progress.remark(f"{names} bring different files `{clash.path}`: that of `{clash.names[-1]}` is used")
    if others:
        progress.remark(f"so it is for {others} more files")


def _check_commands(build: Wheel, directory: str) -> None:
    """Raise RealisationFailed if an editable build has a command with a name of the environment's own."""
    for name in sorted(os.listdir(f"{build.path}/bin")) if os.path.isdir(f"{build.path}/bin") else ():
        if re.fullmatch(r"python[0-9.]*", name) and os.path.lexists(f"{directory}/{name}"):
            whose = "is the interpreter's name"
        elif name in OWN_COMMANDS:
            whose = f"would hide the `{name}` that tells people to use `esker install` here"
        else:
            continue
        raise RealisationFailed(f"the project `{build.name}` has a command `{name}`, which {whose}", hint=_RENAME)


def _refuse_clashes(clashes: Sequence[Clash], editable: Collection[str]) -> None:
    """Raise RealisationFailed if an editable build and another package bring different files of one name."""
    for clash in clashes:
        own = next((name for name in clash.names if name in editable), None)
        if own is None:
            continue
        directory, name = os.path.split(clash.path)
        if directory == "bin":
            raise RealisationFailed(
                f"the project `{own}` has a command `{name}`, which another package brings as well",
                hint=f"{_RENAME}, or take that package out of the dependencies",
            )
        raise RealisationFailed(
            f"the project `{own}` and another package both bring the file `{'/'.join(clash.path.split('/')[-2:])}`",
            hint="rename it in the project, or take that package out",
        )


def _path_line(path: str) -> str:
    """Return an ASCII line of a .pth file for a directory: Python decodes it by the locale, and stops at an error."""
    return path if path.isascii() else f"import sys; sys.path.append({path!a})"


def _add_command(path: str, target: str) -> None:
    if os.path.isdir(path):
        _link(path, target)
        return
    with open(path, "rb") as file:
        head = file.read(LONGEST_UV_HEAD)
        launcher = UV_HEAD.match(head)
        if launcher is None:
            check_program(path, "a package of the lock")
            _link(path, target)
            return
        coding = (launcher["coding"] or b"").strip()
        content = _SCRIPT_HEAD % (coding and b" " + coding) + head[launcher.end() :] + file.read()
    with open(target, "wb") as file:
        file.write(content)
    os.chmod(target, 0o755)  # noqa: S103  # a command; the store makes it 0555


def _refuse_pip(directory: str, libraries: str) -> None:
    if os.path.lexists(f"{libraries}/pip") or os.path.lexists(f"{libraries}/pip.py"):
        if os.path.lexists(f"{directory}/pip.conf"):
            raise RealisationFailed("a locked package brings a `pip.conf` of its own", hint="take that package out")
        _write(f"{directory}/pip.conf", pip_refusal.CONFIGURATION, 0o644)
        return
    _write(f"{libraries}/pip.py", pip_refusal.MODULE, 0o644)
    for name in OWN_COMMANDS:
        _write(f"{directory}/bin/{name}", pip_refusal.COMMAND, 0o755)


def _link(path: str, target: str) -> None:
    """Create a relative link to another store path; it still holds when the tree is renamed within the store."""
    os.symlink(os.path.relpath(path, os.path.dirname(target)), target)


def _write(path: str, content: str, mode: int) -> None:
    """Write a file of the profile's own, in place of a package's file of that name."""
    # That file may be a link into the package's own store path, which must not be written through it.
    with suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "x", encoding="utf-8") as file:
        file.write(content)
    os.chmod(path, mode)
