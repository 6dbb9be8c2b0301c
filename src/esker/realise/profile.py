"""The profile: one store path, whose bin, lib and share an activation puts on the caller's search paths.

It is the Python environment: `pyvenv.cfg` at its root makes `bin/python` find the packages. Most of what it holds are
links to the store paths of wheels. bin, lib and site-packages are real directories, because the profile adds files of
its own, one of which puts the project's source on Python's path.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import RealisationFailed
from esker.formats.nix import store_path
from esker.progress import Silent
from esker.realise import pytest_plugin
from esker.realise.linking import Tree, link_trees
from esker.realise.programs import WheelProgram, check_program
from esker.realise.run_paths import is_marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.progress import Progress
    from esker.realise.linking import Clash
    from esker.realise.wheels import Wheel
    from esker.store.store import Store

__all__ = ["OWN_COMMANDS", "Packages", "profile"]

OWN_COMMANDS = ("pip", "pip3")
"""The commands in bin that the profile writes itself, unless pip is locked."""

RECIPE = 7
"""Increase it whenever the same inputs would give a different tree."""

_MOST_REMARKS = 5

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
_UV_HEAD = re.compile(
    rb"""#!/bin/sh\n(?P<coding># coding: [-\w.]+\n)?"""
    rb"""'{3}exec' "\$\(dirname -- "\$\(realpath -- "\$0"\)"\)"/[^\n]* "\$0" "\$@"\n' '{3}\n"""
)
"""What uv puts in the place of a script's `#!python`. Python looks for an encoding in the first two lines alone."""
_LONGEST_UV_HEAD = 1024
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
# Users who can write here all the same, such as root, must write no byte code: pytest would put its own beside the
# modules that it rewrites.
_NO_BYTE_CODE = "import os, sys; sys.dont_write_bytecode |= os.access(sys._getframe(1).f_locals['sitedir'], os.W_OK)\n"
# If pip itself is locked, its commands that only read still work. `install` and `uninstall` fail, because they are told
# to read a missing file; pip's error shows its name, which says why.
_PIP_CONFIGURATION = f"""\
[install]
requirement = /nonexistent/{_REFUSAL.replace(" ", "-")}--{_ADVICE.replace(" ", "-")}
[uninstall]
requirement = /nonexistent/{_REFUSAL.replace(" ", "-")}--{_ADVICE.replace(" ", "-")}
"""


class Packages(NamedTuple):
    """The Python packages of an environment."""

    interpreter: Interpreter
    wheels: tuple[Wheel, ...]
    """By name; of files that several bring, the last one's is taken."""
    editable: tuple[Wheel, ...] = ()
    """The editable builds of the project itself, and of packages that it takes from directories."""


def profile(
    store: Store,
    name: str,
    python: Packages | None,
    *,
    programs: Sequence[WheelProgram] = (),
    source: Sequence[str] = (),
    with_pytest_plugin: bool = False,
    progress: Progress | None = None,
) -> str:
    """Return the store path of the profile of Python packages, building it if it is missing.

    `programs` are linked in bin, and the absolute directories in `source` are put on Python's path. Files that several
    packages bring are remarked on. Raises `RealisationFailed` for a program that cannot start on this host, and for a
    file of the project's that a package brings as well.
    """
    wheels, editable = (python.wheels, python.editable) if python else ((), ())
    linked = [[program.name, os.path.relpath(program.path, store.directory)] for program in programs]
    interpreter = python and [python.interpreter.executable, python.interpreter.version, python.interpreter.libraries]
    key: list[object] = [RECIPE, interpreter, [os.path.basename(wheel.path) for wheel in wheels], linked, list(source)]
    key += [pytest_plugin.fingerprint() if with_pytest_plugin else None]
    key += [os.path.basename(build.path) for build in editable] or [None]
    key += sorted(_needing_neighbours() & {wheel.name for wheel in wheels})

    def fill(directory: str) -> None:
        os.makedirs(f"{directory}/bin")
        os.makedirs(f"{directory}/lib")
        copies = _fill_python(directory, python, source, progress or Silent()) if python is not None else {}
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
        references=[wheel.path for wheel in (*wheels, *editable)],
    )


def _fill_python(directory: str, python: Packages, source: Sequence[str], progress: Progress) -> Mapping[str, str]:
    """Fill the profile with Python packages, and return where in it programs were copied to."""
    interpreter, wheels, editable = python
    _make_environment(directory, interpreter)
    target = f"{directory}/{interpreter.libraries}"
    os.makedirs(target)

    def place(path: str, relative: str) -> None:
        if os.path.dirname(relative) == "bin":
            _add_command(path, f"{directory}/{relative}")
        else:
            _link(path, f"{directory}/{relative}")

    neighbours = _needing_neighbours()
    trees = [Tree(wheel.name, wheel.path, is_marked(wheel.path) or wheel.name in neighbours) for wheel in wheels]
    above = interpreter.libraries.split("/")
    real = {"bin", *("/".join(above[:depth]) for depth in range(1, len(above) + 1))}
    linked = link_trees(trees, directory, real=real, place=place)
    _remark_on(linked.clashes, progress)
    for build in editable:
        _add_editable(directory, build)
    if source:
        _write(f"{target}/esker-source.pth", "".join(f"{_path_line(path)}\n" for path in source), 0o644)
    _write(f"{target}/esker-store.pth", _NO_BYTE_CODE, 0o644)
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
    for clash in clashes[:_MOST_REMARKS]:
        names = " and ".join(f"`{name}`" for name in clash.names)
        progress.remark(f"{names} bring different files `{clash.path}`: that of `{clash.names[-1]}` is used")
    if len(clashes) > _MOST_REMARKS:
        progress.remark(f"so it is for {len(clashes) - _MOST_REMARKS} more files")


def _add_editable(directory: str, build: Wheel) -> None:
    """Put an editable build into the profile, beside the packages."""
    for entry in sorted(os.listdir(build.path)):
        if entry == "bin":
            for name in sorted(os.listdir(f"{build.path}/bin")):
                _check_command(name, f"{directory}/bin", build)
                _add_command(f"{build.path}/bin/{name}", f"{directory}/bin/{name}")
        else:
            _merge(f"{build.path}/{entry}", f"{directory}/{entry}", build)


def _check_command(name: str, directory: str, build: Wheel) -> None:
    """Raise RealisationFailed if a command of an editable build cannot be put into the `bin` at `directory`."""
    if not os.path.lexists(f"{directory}/{name}") and name not in OWN_COMMANDS:
        return
    whose = "another package brings as well"
    if re.fullmatch(r"python[0-9.]*", name):
        whose = "is the interpreter's name"
    elif name in OWN_COMMANDS:
        whose = "belongs to the environment, which is not changed by pip"
    raise RealisationFailed(
        f"the project `{build.name}` has a command `{name}`, which {whose}",
        hint="rename it in [project.scripts], or take that package out of the dependencies"
        if "package" in whose
        else "rename it in [project.scripts]",
    )


def _merge(path: str, target: str, build: Wheel) -> None:
    """Link `path` at `target`; a directory that is there already becomes a real one, with links to what both have."""
    if not os.path.lexists(target):
        _link(path, target)
        return
    if not (os.path.isdir(path) and os.path.isdir(target)):
        name = "/".join(target.split("/")[-2:])
        raise RealisationFailed(
            f"the project `{build.name}` and another package both bring the file `{name}`",
            hint="rename it in the project, or take that package out",
        )
    if os.path.islink(target):
        real = os.path.normpath(os.path.join(os.path.dirname(target), os.readlink(target)))
        os.unlink(target)
        os.mkdir(target)
        for entry in sorted(os.listdir(real)):
            _link(f"{real}/{entry}", f"{target}/{entry}")
    # Byte code comes last: if both bring a module, the error names the module.
    for entry in sorted(os.listdir(path), key=lambda name: (name == "__pycache__", name)):
        _merge(f"{path}/{entry}", f"{target}/{entry}", build)


def _path_line(path: str) -> str:
    """Return an ASCII line of a .pth file for a directory: Python decodes it by the locale, and stops at an error."""
    return path if path.isascii() else f"import sys; sys.path.append({path!a})"


def _add_command(path: str, target: str) -> None:
    if os.path.isdir(path):
        _link(path, target)
        return
    with open(path, "rb") as file:
        head = file.read(_LONGEST_UV_HEAD)
        launcher = _UV_HEAD.match(head)
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
        _write(f"{directory}/pip.conf", _PIP_CONFIGURATION, 0o644)
        return
    _write(f"{libraries}/pip.py", _PIP_MODULE, 0o644)
    for name in OWN_COMMANDS:
        _write(f"{directory}/bin/{name}", _PIP_COMMAND, 0o755)


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
