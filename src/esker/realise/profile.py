"""The profile: one store path, whose bin, lib and share an activation puts on the caller's search paths.

It holds links into the Python environment and to the programs of its wheels. `pyvenv.cfg` at its root makes
`bin/python` find the packages. site-packages is a real directory of links, because the profile adds files of its own:
one of them puts the project's source on Python's path.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import RealisationFailed
from esker.formats.nix import store_path
from esker.realise.programs import WheelProgram, check_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.realise.wheels import PythonEnvironment
    from esker.store.store import Store

__all__ = ["OWN_COMMANDS", "profile"]

OWN_COMMANDS = ("pip", "pip3")
"""The commands in bin that the profile writes itself, unless pip is locked."""

RECIPE = 6
"""Increase it whenever the same inputs would give a different tree."""

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


def profile(
    store: Store,
    name: str,
    python: PythonEnvironment | None,
    *,
    programs: Sequence[WheelProgram] = (),
    source: Sequence[str] = (),
    project: str | None = None,
) -> str:
    """Return the store path of the profile over a Python environment, building it if it is missing.

    `programs` are linked in bin, and the absolute directories in `source` are put on Python's path. `project` is the
    store path of the project's own editable build. Raises `RealisationFailed` for a program that cannot start on this
    host, and for one of the project's files that a package brings as well.
    """
    linked = [[program.name, os.path.relpath(program.path, store.directory)] for program in programs]
    key: list[object] = [RECIPE, python and os.path.basename(python.path), linked, list(source)]
    if project is not None:
        key.append(os.path.basename(project))

    def fill(directory: str) -> None:
        os.makedirs(f"{directory}/bin")
        os.makedirs(f"{directory}/lib")
        if python is not None:
            _fill_python(directory, python, source, project)
        for program in programs:
            check_program(program.path, program.wheel)
            _link(program.path, f"{directory}/bin/{program.name}")

    references = [path for path in (python and python.path, project) if path]
    return store.build(
        f"{store_path.fitting(name) or 'environment'}-profile",
        "profile:" + json.dumps(key),
        fill,
        references=references,
    )


def _fill_python(directory: str, python: PythonEnvironment, source: Sequence[str], project: str | None) -> None:
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
    if project is not None:
        _add_project(directory, project)
    if source:
        _write(f"{target}/esker-source.pth", "".join(f"{_path_line(path)}\n" for path in source), 0o644)
    _write(f"{target}/esker-store.pth", _NO_BYTE_CODE, 0o644)
    _refuse_pip(directory, target)


def _add_project(directory: str, project: str) -> None:
    """Put the project's editable build into the profile, beside the packages."""
    for entry in sorted(os.listdir(project)):
        if entry == "bin":
            for name in sorted(os.listdir(f"{project}/bin")):
                _check_command(name, f"{directory}/bin")
                _add_command(f"{project}/bin/{name}", f"{directory}/bin/{name}")
        else:
            _merge(f"{project}/{entry}", f"{directory}/{entry}")


def _check_command(name: str, directory: str) -> None:
    """Raise RealisationFailed if a command of the project cannot be put into the `bin` at `directory`."""
    if not os.path.lexists(f"{directory}/{name}") and name not in OWN_COMMANDS:
        return
    whose = "a locked package brings as well"
    if re.fullmatch(r"python[0-9.]*", name):
        whose = "is the interpreter's name"
    elif name in OWN_COMMANDS:
        whose = "belongs to the environment, which is not changed by pip"
    raise RealisationFailed(
        f"the project has a command `{name}`, which {whose}",
        hint="rename it in [project.scripts], or take the package out of the dependencies"
        if "package" in whose
        else "rename it in [project.scripts]",
    )


def _merge(path: str, target: str) -> None:
    """Link `path` at `target`; a directory that is there already becomes a real one, with links to what both have."""
    if not os.path.lexists(target):
        _link(path, target)
        return
    if not (os.path.isdir(path) and os.path.isdir(target)):
        name = "/".join(target.split("/")[-2:])
        raise RealisationFailed(
            f"the project and a locked package both bring the file `{name}`",
            hint="rename it in the project, or take the package out",
        )
    if os.path.islink(target):
        real = os.path.normpath(os.path.join(os.path.dirname(target), os.readlink(target)))
        os.unlink(target)
        os.mkdir(target)
        for entry in sorted(os.listdir(real)):
            _link(f"{real}/{entry}", f"{target}/{entry}")
    # Byte code comes last: if both bring a module, the error names the module.
    for entry in sorted(os.listdir(path), key=lambda name: (name == "__pycache__", name)):
        _merge(f"{path}/{entry}", f"{target}/{entry}")


def _path_line(path: str) -> str:
    """Return an ASCII line of a .pth file for a directory: Python decodes it by the locale, and stops at an error."""
    return path if path.isascii() else f"import sys; sys.path.append({path!a})"


def _add_command(path: str, target: str) -> None:
    if os.path.islink(path):
        # `python` leads to the interpreter, and the other links to `python`. To find `sys._base_executable`, Python
        # follows links by their text alone. From the project's link to us, a relative link to the environment would
        # lead it to a path beside that link, where nothing is, and every venv made here would be made from that path.
        os.symlink(os.readlink(path), target)
        return
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
