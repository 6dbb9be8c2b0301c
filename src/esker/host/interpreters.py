"""Python interpreters of this machine: found in a fixed order, asked what they are, never downloaded."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Interpreter", "Interpreters", "inspect"]

_OLDEST = (3, 7)
"""Before it, byte code could not be compiled to be the same everywhere."""
_MINORS = range(20, _OLDEST[1] - 1, -1)
_PATIENCE = 20
"""Seconds."""
_OLD_QUESTION = "import sys; sys.stdout.write('Python %d.%d.%d' % sys.version_info[:3])"
_QUESTION = """\
import json, os, platform, sys, sysconfig
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "version": platform.python_version(),
    "abi": sysconfig.get_config_var("SOABI") or "",
    "platform": sysconfig.get_platform(),
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
    """Absolute, every link resolved, never inside a virtual environment."""
    version: str
    abi: str
    """Such as `cpython-311-x86_64-linux-gnu`."""
    platform: str
    """Such as `linux-x86_64`."""
    markers: dict[str, str]
    """The marker variables of PEP 508."""

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)


def inspect(executable: str, variables: Mapping[str, str]) -> Interpreter | None:
    """Ask an executable what it is; None when it does not start or does not answer as a Python does."""
    try:
        return _asked(executable, variables)
    except (HostError, TimedOut, ValueError):
        return None


def _asked(executable: str, variables: Mapping[str, str]) -> Interpreter:
    said = _answer([executable, "-I", "-S", "-c", _QUESTION], variables)
    return msgspec.convert(json.loads(said), Interpreter)


def _answer(argv: Sequence[str], variables: Mapping[str, str]) -> str:
    return process.run(argv, environ=variables, stdin="", timeout=_PATIENCE).stdout


class Interpreters:
    """The interpreters of this machine, each asked once; `named` is the one that a person has named (ESKER_PYTHON).

    `variables` are what interpreters are started with, none of which may steer a Python; their PATH is searched.
    """

    def __init__(self, variables: Mapping[str, str], named: str | None = None) -> None:
        self._variables = variables
        self._named = named
        self._asked: dict[str, Interpreter | None] = {}

    def find(self, specifier: str | None) -> Interpreter:
        """Return the first CPython that satisfies `specifier`: the named one, our own base, `pythonX.Y` on PATH.

        Raises `NotFound` listing every interpreter that was looked at, and `UsageError` for a named one that is none.
        """
        versions = _specifier(specifier)
        seen: dict[str, Interpreter] = {}
        for candidate in _candidates(self._named, self._variables.get("PATH", "")):
            interpreter = self._ask(candidate)
            if interpreter is None or interpreter.executable in seen:
                continue
            seen[interpreter.executable] = interpreter
            if _unfit(interpreter) is None and versions.contains(interpreter.version, True):
                return interpreter
        listed = ", ".join(f"{each.version} ({each.executable})" for each in seen.values()) or "none"
        raise NotFound(
            f"no Python on this machine satisfies `{specifier}`; found: {listed}",
            hint="install one, put it on PATH as pythonX.Y or name it in ESKER_PYTHON; "
            "or change `version` in [plugins.esker.python]",
        )

    def _ask(self, candidate: str) -> Interpreter | None:
        if candidate not in self._asked:
            ask = _named if candidate == self._named else inspect
            self._asked[candidate] = ask(candidate, self._variables)
        return self._asked[candidate]


def _named(executable: str, variables: Mapping[str, str]) -> Interpreter:
    """Return the interpreter that ESKER_PYTHON names; raises UsageError where it is none that can be used."""
    try:
        interpreter = _asked(executable, variables)
        fault = _unfit(interpreter)
    except TimedOut:
        fault = f"which did not answer within {_PATIENCE} s"
    except (HostError, ValueError):
        fault = _not_started(executable, variables)
    if fault is None:
        return interpreter
    oldest = ".".join(map(str, _OLDEST))
    hint = f"name a CPython {oldest} or later by its full path, or unset it"
    raise UsageError(f"ESKER_PYTHON is `{executable}`, {fault}", hint=hint)


def _unfit(interpreter: Interpreter) -> str | None:
    """Return why no environment can be made with an interpreter, or None."""
    if interpreter.markers.get("implementation_name") != "cpython":
        name = interpreter.markers.get("platform_python_implementation", "no CPython")
        return f"which is {name} {interpreter.version}"
    return f"which is Python {interpreter.version}" if interpreter.release < _OLDEST else None


def _not_started(executable: str, variables: Mapping[str, str]) -> str:
    program = process.find_program(executable, variables.get("PATH"))
    if program is None:
        return "which is not on PATH"
    if not os.path.exists(program):
        return "which is not there"
    if os.path.isdir(program):
        return "which is a directory"
    if not os.access(program, os.X_OK):
        return "which may not be executed"
    try:  # one that is too old for the first question
        said = _answer([program, "-E", "-S", "-c", _OLD_QUESTION], variables)
    except (HostError, TimedOut):
        said = ""
    return f"which is {said}" if re.fullmatch(r"Python [0-9.]+", said) else "which does not run as a Python"


def _specifier(specifier: str | None) -> SpecifierSet:
    try:
        return SpecifierSet(specifier or "")
    except InvalidSpecifier as error:
        raise UsageError(f"`{specifier}` is not a version specifier", hint="write for example `>=3.11`") from error


def _candidates(named: str | None, path: str) -> Iterator[str]:
    if named:
        yield named
    yield os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    directories = [directory for directory in path.split(os.pathsep) if os.path.isabs(directory)]
    for name in [*(f"python3.{minor}" for minor in _MINORS), "python3", "python"]:
        for directory in directories:
            for program in (os.path.join(directory, name), *_behind_shim(directory, name)):
                if os.access(program, os.X_OK):
                    yield program


def _behind_shim(directory: str, name: str) -> list[str]:
    """Return what a shim may stand for: of several versions that pyenv or asdf has, it starts the chosen one alone."""
    if os.path.basename(directory) != "shims":
        return []
    versions = os.path.join(os.path.dirname(directory), "versions")
    if not os.path.isdir(versions):
        return []
    return [os.path.join(versions, version, "bin", name) for version in sorted(os.listdir(versions), reverse=True)]
