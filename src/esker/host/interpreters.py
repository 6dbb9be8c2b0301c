"""The Python interpreters of this machine: searched for in a fixed order and inspected."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from esker.errors import HostError, NotFound, TimedOut, UsageError
from esker.host import process
from esker.host.python_downloads import fetched_pythons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from esker.host.python_downloads import PythonDownloads

__all__ = ["NEWEST", "OLDEST", "Interpreter", "Interpreters", "OneInterpreter", "inspect"]

OLDEST = (3, 7)
"""Older versions cannot compile byte code reproducibly."""
NEWEST = (3, 20)
"""Later versions are not looked for."""
_MINORS = range(NEWEST[1], OLDEST[1] - 1, -1)
_PATIENCE = 20
"""Seconds that an interpreter has for its answer."""
_OLD_QUESTION = "import sys; sys.stdout.write('Python %d.%d.%d' % sys.version_info[:3])"
_QUESTION = """\
import importlib.util, json, os, platform, sys, sysconfig
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "version": platform.python_version(),
    "abi": sysconfig.get_config_var("SOABI") or "",
    "platform": sysconfig.get_platform(),
    "magic": importlib.util.MAGIC_NUMBER.hex(),
    "markers": {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    },
}))
"""


class Interpreter(msgspec.Struct, frozen=True):
    """One interpreter, as it describes itself."""

    executable: str
    """Absolute, with every link resolved; never inside a virtual environment."""
    version: str
    abi: str
    """Such as `cpython-311-x86_64-linux-gnu`."""
    platform: str
    """Such as `linux-x86_64`."""
    magic: str
    """How its byte code files begin, in hexadecimal: interpreters with equal ones read each other's."""
    markers: dict[str, str]
    """The marker variables of PEP 508."""

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    @property
    def libraries(self) -> str:
        """Where packages lie below the prefix of an environment: its `site-packages`."""
        major, minor = self.release
        return f"lib/python{major}.{minor}/site-packages"


def inspect(executable: str, variables: Mapping[str, str]) -> Interpreter | None:
    """Ask an executable which Python it is; None when it does not start or does not answer as a Python would."""
    try:
        return _description(executable, variables)
    except (HostError, TimedOut, ValueError):
        return None


def _description(executable: str, variables: Mapping[str, str]) -> Interpreter:
    answer = _answer([executable, "-I", "-S", "-c", _QUESTION], variables)
    return msgspec.convert(json.loads(answer), Interpreter)


def _answer(argv: Sequence[str], variables: Mapping[str, str]) -> str:
    return process.run(argv, environ=variables, stdin="", timeout=_PATIENCE).stdout


class Interpreters:
    """Finds interpreters on this machine and inspects each at most once.

    `variables` is the environment that interpreters are started with. Its PATH is searched, and it must hold no
    variable that changes how Python runs (PYTHON…, VIRTUAL_ENV). `named` is the interpreter from ESKER_PYTHON, if any.
    `directory` is where uv keeps the Pythons that it has fetched. One that is missing can be fetched if there are
    `downloads`; if not, `remedy` says what a person can do to have it fetched, as the end of a hint.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        named: str | None = None,
        *,
        directory: str | None = None,
        downloads: PythonDownloads | None = None,
        remedy: str = "",
    ) -> None:
        self._variables = variables
        self._named = named
        self._directory = directory
        self.downloads = downloads
        self.remedy = remedy
        self._inspected: dict[str, Interpreter | None] = {}

    def find(self, specifier: str | None) -> Interpreter:
        """Return the first CPython that satisfies `specifier`.

        Raises NotFound, which lists every interpreter that was inspected, and UsageError as `first` does.
        """
        interpreter = self.first(specifier)
        if interpreter is not None:
            return interpreter
        raise NotFound(
            f"no Python on this machine satisfies `{specifier}`; found: {self.listed()}",
            hint="install one, then put it on PATH as pythonX.Y or set ESKER_PYTHON to its path",
        )

    def first(self, specifier: str | None) -> Interpreter | None:
        """Return the first CPython that satisfies `specifier`, or None if this machine has none.

        The order is: the one named by ESKER_PYTHON, the one that Esker runs on, then `pythonX.Y` on PATH, newest first,
        then those that uv has fetched.
        Raises UsageError when ESKER_PYTHON does not name a usable interpreter.
        """
        versions = _specifier(specifier)
        for candidate in _candidates(self._named, self._variables.get("PATH", ""), self._directory):
            interpreter = self._ask(candidate)
            if interpreter is None or _unfit(interpreter) is not None:
                continue
            if versions.contains(interpreter.version, True):
                return interpreter
        return None

    def every(self) -> list[Interpreter]:
        """Return every CPython of this machine that can be used, in the order of `first`, each of them once."""
        asked = map(self._ask, _candidates(self._named, self._variables.get("PATH", ""), self._directory))
        usable = {each.executable: each for each in asked if each is not None and _unfit(each) is None}
        return list(usable.values())

    def obtained(self, specifier: str, wanted: str) -> tuple[Interpreter | None, str | None]:
        """Return the interpreter of `first`, which is fetched if it has to be and may be; `wanted` is for people.

        The second value says why none could be fetched, as the end of a sentence; None if that was not tried.
        """
        interpreter = self.first(specifier)
        if interpreter is not None or self.downloads is None:
            return interpreter, None
        unfetched = self.downloads.fetch(specifier, wanted)
        return self.first(specifier), unfetched

    def listed(self) -> str:
        """Return the interpreters that were inspected so far, as a message lists them."""
        inspected = {each.executable: each.version for each in self._inspected.values() if each is not None}
        return ", ".join(f"{version} ({executable})" for executable, version in inspected.items()) or "none"

    def _ask(self, candidate: str) -> Interpreter | None:
        if candidate not in self._inspected:
            ask = _named if candidate == self._named else inspect
            self._inspected[candidate] = ask(candidate, self._variables)
        return self._inspected[candidate]


class OneInterpreter(Interpreters):
    """A single interpreter; `place` returns its path, and is called only if the interpreter is wanted."""

    def __init__(self, variables: Mapping[str, str], place: Callable[[], str]) -> None:
        super().__init__(variables)
        self._place = place

    def first(self, specifier: str | None) -> Interpreter | None:
        """Return the interpreter if it satisfies `specifier`; raises HostError if it does not start."""
        interpreter = self._ask(self._place())
        if interpreter is None:
            raise HostError(
                f"`{self._place()}` does not start, or does not answer as a Python does", hint="esker store verify"
            )
        return interpreter if _specifier(specifier).contains(interpreter.version, True) else None


def _named(executable: str, variables: Mapping[str, str]) -> Interpreter:
    """Return the interpreter that ESKER_PYTHON names; raises UsageError when it cannot be used."""
    try:
        interpreter = _description(executable, variables)
        fault = _unfit(interpreter)
    except TimedOut:
        fault = f"which did not answer within {_PATIENCE} s"
    except (HostError, ValueError):
        fault = _not_started(executable, variables)
    if fault is None:
        return interpreter
    oldest = ".".join(map(str, OLDEST))
    hint = f"name a CPython {oldest} or later by its full path, or unset it"
    raise UsageError(f"ESKER_PYTHON is `{executable}`, {fault}", hint=hint)


def _unfit(interpreter: Interpreter) -> str | None:
    """Return why no environment can be made with an interpreter, as the end of a sentence; None if one can."""
    if interpreter.markers.get("implementation_name") != "cpython":
        name = interpreter.markers.get("platform_python_implementation", "another implementation of Python")
        return f"which is {name} {interpreter.version}"
    if re.match(r"cpython-\d+t", interpreter.abi):  # its wheels are others, and lie in another directory
        return f"which is a free-threaded Python {interpreter.version}"
    return f"which is Python {interpreter.version}" if interpreter.release < OLDEST else None


def _not_started(executable: str, variables: Mapping[str, str]) -> str:
    """Return why `executable` gave no usable answer, as the end of a sentence."""
    program = process.find_program(executable, variables.get("PATH"))
    if program is None:
        return "which is not on PATH"
    if not os.path.exists(program):
        return "which does not exist"
    if os.path.isdir(program):
        return "which is a directory"
    if not os.access(program, os.X_OK):
        return "which may not be executed"
    try:  # a Python that is too old to understand the first question
        answer = _answer([program, "-E", "-S", "-c", _OLD_QUESTION], variables)
    except (HostError, TimedOut):
        answer = ""
    return f"which is {answer}" if re.fullmatch(r"Python [0-9.]+", answer) else "which does not work as a Python"


def _specifier(specifier: str | None) -> SpecifierSet:
    try:
        return SpecifierSet(specifier or "")
    except InvalidSpecifier as error:
        raise UsageError(f"`{specifier}` is not a version specifier", hint="write for example `>=3.11`") from error


def _candidates(named: str | None, path: str, fetched: str | None = None) -> Iterator[str]:
    if named:
        yield named
    yield os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    directories = [directory for directory in path.split(os.pathsep) if os.path.isabs(directory)]
    for name in [*(f"python3.{minor}" for minor in _MINORS), "python3", "python"]:
        for directory in directories:
            for program in (os.path.join(directory, name), *_behind_shim(directory, name)):
                if os.access(program, os.X_OK):
                    yield program
    if fetched is not None:
        yield from fetched_pythons(fetched)


def _behind_shim(directory: str, name: str) -> list[str]:
    """Return the programs behind a shim of pyenv or asdf: the shim itself starts only the selected version."""
    if os.path.basename(directory) != "shims":
        return []
    versions = os.path.join(os.path.dirname(directory), "versions")
    if not os.path.isdir(versions):
        return []
    return [os.path.join(versions, version, "bin", name) for version in sorted(os.listdir(versions), reverse=True)]
