"""A virtual environment that a Python program makes, fills and activates, and a decorator."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from esker.activate.active import PROCESS, Begun
from esker.activate.decoration import decorated
from esker.activate.plan import fingerprints
from esker.errors import VenvFailed, VenvNotRemoved
from esker.host import variables
from esker.host.interruption import plain
from esker.host.uv import uv_output
from esker.host.worker import in_thread
from esker.progress import Silent
from esker.runtimes.venv import by_uv, directory
from esker.runtimes.venv.requirements import deciding_files
from esker.settings import Settings
from esker.venv import in_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from esker.activate.plan import Fingerprint

__all__ = ["Requirements", "StrPath", "VirtualEnv", "venv_required"]

StrPath = str | os.PathLike[str]
Requirements = str | os.PathLike[str] | list[str] | tuple[str, ...]
"""Packages: one as PEP 508 writes it, or several in a list; or a requirements file: a path, or a text for one."""
F = TypeVar("F", bound="Callable[..., Any]")


class VirtualEnv:
    """The virtual environment at `path`, which a relative path names from the current directory.

    With `now` it is made at once if it is not there: for the Python that `python` says, a version such as `3.12`, a
    specifier or a path, and without one for the Python that runs this. One that is there is used as it is. In a `with`
    block it is there, has its `requirements`, and is active.

    Raises TypeError for a `path` or `python` of another type. As with Angreal, that of `requirements` is looked at when
    they are to be installed, before anything is made.

    Activating it sets PATH, VIRTUAL_ENV and VIRTUAL_ENV_PROMPT, unsets PYTHONHOME, and lets this process import its
    packages. The variables are those of the process: while a thread has it active, other threads may activate the same
    one, but no other.
    """

    def __init__(
        self,
        path: StrPath | None = None,
        python: StrPath | None = None,
        requirements: Requirements | None = None,
        now: bool = True,  # noqa: FBT001, FBT002 - Angreal's parameters
    ) -> None:
        name = os.path.expanduser(_text("path", ".venv" if path is None else path))
        self._name = name
        self._prefix = os.path.realpath(name)
        self._python = None if python is None else _text("python", python)
        self._requirements = requirements
        self._switched_on = False
        if now:
            self.create()

    def __repr__(self) -> str:
        return f"VirtualEnv({self._prefix!r})"

    @property
    def path(self) -> Path:
        """Its directory, absolute, with links resolved when this object was made."""
        return Path(self._prefix)

    @property
    def name(self) -> str:
        """The path as it was given, with `~` resolved."""
        return self._name

    @property
    def exists(self) -> bool:
        """Whether there is a virtual environment: the directory has a `pyvenv.cfg`."""
        return directory.exists(self._prefix)

    @property
    def python_executable(self) -> Path:
        """Its interpreter; it need not exist."""
        return Path(directory.python(self._prefix))

    @property
    def is_activated(self) -> bool:
        """Whether this process has it active, through this object or another."""
        return self._key in PROCESS.holders

    _is_activated = is_activated

    @plain
    def create(self) -> None:
        """Make it, unless it is there.

        Raises VenvFailed, a RuntimeError: there is no such Python, the place cannot be written or something else is in
        it. What is there is never replaced.
        """
        if self.exists:
            return
        with by_uv.failing("Failed to create virtual environment"):
            settings = Settings(variables.current())
            interpreter = by_uv.interpreter_for(self._python, settings.interpreters(Silent()), settings.tools)
            by_uv.make(self._prefix, interpreter, settings)
        in_process.forget(self._prefix)

    @plain
    def install(self, packages: Requirements) -> None:
        """Install packages: one as PEP 508 writes it, a list of them, or a requirements file.

        A text that ends in `.txt`, and a path, is a file. Raises VenvFailed, a RuntimeError, with what uv says, and
        TypeError for another type.
        """
        names, files = _listed(packages)
        one = isinstance(packages, str) and bool(names)
        self._install("Failed to install package" if one else _PACKAGES if names else _REQUIREMENTS, names, files)

    @plain
    def install_requirements(self) -> None:
        """Install the `requirements` that this object was made with; without any, nothing happens.

        Raises as `install`.
        """
        if self._requirements is not None:
            self._install(_REQUIREMENTS, *_listed(self._requirements))

    def _install(self, what: str, names: list[str], files: list[str]) -> None:
        with by_uv.failing(what):
            self._check_exists(f"{what}: ")
            by_uv.install(self._prefix, Settings(variables.current()), os.getcwd(), names, files)
        if self.is_activated:
            in_process.refresh()

    def _check_exists(self, before: str = "") -> None:
        if not self.exists:
            hint = "make it: create()"
            raise VenvFailed(f"{before}Virtual environment at {self._prefix} does not exist", hint=hint)

    @plain
    def activate(self) -> None:
        """Let this process run its programs and import its packages, until `deactivate`; a second time does nothing.

        An environment for another version of Python gives its programs alone, and a RuntimeWarning says so. Raises
        VenvFailed, a RuntimeError, where there is none, and EnvironmentBusy where another thread has another one active.
        """
        if not self._switched_on:
            self._enter()
            self._switched_on = True

    @plain
    def deactivate(self) -> None:
        """Undo `activate`; without one nothing happens. What the program has changed itself meanwhile stays changed."""
        if self._switched_on:
            self._switched_on = False
            self._leave()

    @plain
    def remove(self) -> None:
        """Delete it, after `deactivate`; where nothing is, nothing happens.

        Raises VenvNotRemoved, an OSError: it cannot be deleted, or what is there is no virtual environment.
        """
        self.deactivate()
        if not os.path.lexists(self._prefix):
            return
        if not self.exists:
            message = f"`{self._prefix}` is not removed: it is no virtual environment, because it has no `pyvenv.cfg`"
            raise VenvNotRemoved(message, hint="look what it is, and delete it by hand")
        try:
            shutil.rmtree(self._prefix)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise VenvNotRemoved(f"`{self._prefix}` cannot be removed: {reason} (`{error.filename}`)") from error
        in_process.forget(self._prefix)

    @classmethod
    def discover_available_pythons(cls) -> list[tuple[str, str]]:
        """Return the version and the path of each CPython on this machine, the one that runs this first."""
        return [(each.version, each.executable) for each in Settings(variables.current()).interpreters().every()]

    @classmethod
    @plain
    def ensure_python(cls, version: str) -> str:
        """Return the path of a Python of this version (`3.12`, `3.12.1`), which is fetched if this machine lacks it.

        Raises VenvFailed, a RuntimeError, if there is none and none can be fetched, and TypeError for another type.
        """
        version = _text("version", version)
        with by_uv.failing(f"Failed to ensure Python {version}"):
            settings = Settings(variables.current())
            return by_uv.interpreter_for(version, settings.interpreters(Silent()), settings.tools)

    @classmethod
    def version(cls) -> str:
        """Return what `uv --version` says."""
        return uv_output(["--version"], Settings(variables.current()).tools, cwd=os.sep).strip()

    @plain
    def __enter__(self) -> Self:
        self._prepare()
        self._enter()
        return self

    @plain
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    async def __aenter__(self) -> Self:
        await in_thread(lambda _: self._prepare())
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _prepare(self) -> None:
        """Make it and install its requirements, unless this process has installed the same into it already."""
        names, files = _listed([] if self._requirements is None else self._requirements)  # before anything is made
        self.create()
        if self._requirements is None:
            return
        files = [os.path.abspath(file) for file in files]
        before, key = fingerprints(deciding_files(files)), (self._prefix, *names, *files)
        if any(map(_is_local, names)) or _installed.get(key) != (before, self._contents()):
            self.install_requirements()
            _installed[key] = (before, self._contents())

    def _contents(self) -> tuple[Fingerprint, ...]:
        """Return what tells later whether a package was added or removed."""
        packages = directory.site_packages(self._prefix)
        return fingerprints([packages] if packages else [])

    @property
    def _key(self) -> str:
        return f"{self._prefix}\0virtual environment"

    def _enter(self) -> None:
        with PROCESS.lock:
            PROCESS.enter(self._key, self._begin)

    def _begin(self, _: Mapping[str, str]) -> Begun:
        self._check_exists()
        release = directory.release(self._prefix)
        packages = directory.site_packages(self._prefix)
        if release is not None and release != sys.version_info[:2]:
            packages = None
            warnings.warn(
                "`{}` is for Python {}.{}, and this is Python {}.{}: its programs can be run, but its packages cannot be "
                "imported here".format(self._prefix, *release, *sys.version_info[:2]),
                RuntimeWarning,
                stacklevel=6,
            )
        in_process.enter(self._prefix, packages)
        return Begun(directory.activation(self._prefix), lambda: in_process.leave(self._prefix))

    def _leave(self) -> None:
        with PROCESS.lock:
            PROCESS.leave(self._key)()


_PACKAGES, _REQUIREMENTS = "Failed to install packages", "Failed to install requirements"
_installed: dict[tuple[str, ...], tuple[tuple[Fingerprint, ...], tuple[Fingerprint, ...]]] = {}
"""What this process has installed: into which environment, and how the files and the packages were then."""


def venv_required(path: StrPath, requirements: Requirements | None = None) -> Callable[[F], F]:
    """Let a function run in a virtual environment that has these requirements: `@venv_required(".venv", "tests.txt")`.

    At each call the environment is made if it is not there. The requirements are installed at the first call, and again
    after they, or what is installed, have changed. A relative path starts at the current directory of the call.
    Functions, methods, coroutines and generators keep their kind. It may stand above or below `@angreal.command`.
    """
    if callable(path):
        raise TypeError('write `@venv_required("PATH")`, with the path of the environment')
    _text("path", path)

    def decorate(function: F) -> F:
        return decorated(function, lambda: VirtualEnv(path, requirements=requirements, now=False))

    return decorate


def _text(name: str, value: object) -> str:
    """Return a path or word that a parameter was given, as text; raises TypeError for another type, also for bytes."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise TypeError(f"{name} should be a string or Path object, not {type(value).__name__}")
    return text


def _listed(asked: object) -> tuple[list[str], list[str]]:
    """Return the packages and the requirements files that a value means; raises TypeError for no such value."""
    if isinstance(asked, str):
        is_file = asked.endswith(".txt") or os.path.isfile(asked)
        return ([], [asked]) if is_file else ([asked], [])
    if isinstance(asked, os.PathLike):
        return [], [_text("requirements", asked)]
    if isinstance(asked, (list, tuple)) and all(isinstance(each, str) for each in asked):
        return list(asked), []
    kind = type(asked).__name__
    raise TypeError(f"requirements should be a string, list of strings, or Path object, not {kind}")


def _is_local(package: str) -> bool:
    """Return whether a package is a directory or file of this machine, in which anything may have changed."""
    return os.sep in package or package.startswith(".")
