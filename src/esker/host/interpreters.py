"""Python interpreters of this machine: found in a fixed order, asked what they are, never downloaded."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from esker.errors import NotFound, UsageError

__all__ = ["Interpreter", "find_interpreter", "inspect"]

_MINORS = range(20, 7, -1)
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


def inspect(executable: str) -> Interpreter | None:
    """Ask an executable what it is; None when it does not start or does not answer as a Python does."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [executable, "-I", "-S", "-c", _QUESTION], env=environ, capture_output=True, timeout=20, check=False
        )
        return msgspec.convert(json.loads(done.stdout), Interpreter)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def find_interpreter(specifier: str | None, environ: Mapping[str, str]) -> Interpreter:
    """Return the first CPython that satisfies `specifier`: ESKER_PYTHON, the running one's base, `pythonX.Y` on PATH.

    Raises `NotFound` listing every interpreter that was looked at, `UsageError` for an ESKER_PYTHON that is none.
    """
    wanted = _specifier(specifier)
    found: dict[str, Interpreter] = {}
    for candidate in _candidates(environ):
        interpreter = inspect(candidate)
        if interpreter is None:
            if candidate == environ.get("ESKER_PYTHON"):
                raise UsageError(
                    f"ESKER_PYTHON is `{candidate}`, which does not run as a Python",
                    hint="give the full path of an interpreter, or unset it",
                )
            continue
        if interpreter.executable in found:
            continue
        found[interpreter.executable] = interpreter
        if interpreter.markers["implementation_name"] == "cpython" and wanted.contains(interpreter.version, True):
            return interpreter
    listed = ", ".join(f"{each.version} ({each.executable})" for each in found.values()) or "none"
    raise NotFound(
        f"no Python on this machine satisfies `{specifier}`; found: {listed}",
        hint="install one, put it on PATH as pythonX.Y or name it in ESKER_PYTHON; "
        "or change `version` in [plugins.esker.python]",
    )


def _specifier(specifier: str | None) -> SpecifierSet:
    try:
        return SpecifierSet(specifier or "")
    except InvalidSpecifier as error:
        raise UsageError(f"`{specifier}` is not a version specifier", hint="write for example `>=3.11`") from error


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    named = environ.get("ESKER_PYTHON")
    if named:
        yield named
    yield os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    directories = [directory for directory in environ.get("PATH", "").split(os.pathsep) if os.path.isabs(directory)]
    for name in [*(f"python3.{minor}" for minor in _MINORS), "python3", "python"]:
        for directory in directories:
            for path in (os.path.join(directory, name), *_behind_shim(directory, name)):
                if os.access(path, os.X_OK):
                    yield path


def _behind_shim(directory: str, name: str) -> list[str]:
    """Return what a shim may stand for: of several versions that pyenv or asdf has, it starts the chosen one alone."""
    if os.path.basename(directory) != "shims":
        return []
    versions = os.path.join(os.path.dirname(directory), "versions")
    if not os.path.isdir(versions):
        return []
    return [os.path.join(versions, version, "bin", name) for version in sorted(os.listdir(versions), reverse=True)]
