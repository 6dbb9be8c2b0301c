"""The Flox integration for Python: environments and services, by Flox itself or without it.

>>> from esker.flox import Flox, flox_required
>>> with Flox(".", services=["postgres"]):  # doctest: +SKIP
...     subprocess.run(["pytest"])

Who plays the environment is the `engine`: `flox` drives the command of that name, `native` is Esker itself, and `auto`
takes Flox where it is on PATH. `ESKER_ENGINE` decides for every `auto`.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from esker.activate.active import PROCESS, nothing
from esker.activate.decoration import decorated, defining_directory
from esker.errors import EskerError
from esker.flox.project import checked, find_project
from esker.flox.services import READY, FloxServiceHandle, FloxServices
from esker.formats.service_handle import ServiceInfo
from esker.host import variables
from esker.host.clock import Deadline
from esker.host.worker import in_thread
from esker.runtimes.flox_engine import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from esker.activate.active import Begun
    from esker.lock.listing import Installed
    from esker.runtimes.flox_engine import Engine, EngineName

__all__ = ["Flox", "FloxServiceHandle", "FloxServices", "Result", "ServiceInfo", "flox_required"]

StrPath = str | os.PathLike[str]
F = TypeVar("F", bound="Callable[..., Any]")


class Result(NamedTuple):
    """How a program ended: its exit status (below zero the signal that ended it) and what it printed."""

    exit_code: int
    stdout: str
    stderr: str


class Flox:
    """The environment of the project at `path`, and the services that run with it in a `with` block.

    A relative path starts at the current directory; the nearest `.flox` from there upwards within the repository
    counts. Nothing of the project runs before `activate`, `run`, `with` or `services.start`. `timeout` is how many
    seconds services may take to become ready.
    """

    def __init__(
        self,
        path: StrPath | None = None,
        services: Iterable[str] | None = None,
        *,
        engine: EngineName = "auto",
        timeout: float = READY,
    ) -> None:
        self._project = find_project(path, os.getcwd())
        self._names = _names(services)
        self._engine_name = engine
        self._timeout = timeout
        self._switched_on = False
        self._releases: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"Flox({self._project!r})"

    @property
    def path(self) -> Path:
        """The project directory, absolute."""
        return Path(self._project)

    @property
    def exists(self) -> bool:
        """Whether there is an environment."""
        return os.path.isdir(f"{self._project}/.flox")

    @property
    def has_manifest(self) -> bool:
        """Whether the environment has a manifest."""
        return os.path.isfile(f"{self._project}/.flox/env/manifest.toml")

    @property
    def is_activated(self) -> bool:
        """Whether this process has the environment active, through this object or another."""
        return self._engine.key in PROCESS.holders

    _is_activated = is_activated

    @property
    def services(self) -> FloxServices:
        """The services of the environment."""
        return FloxServices(self._project, engine=self._engine_name)

    @cached_property
    def _engine(self) -> Engine:
        return choose(self._engine_name, self._project)

    @classmethod
    def is_available(cls) -> bool:
        """Return whether environments can be activated here: only `ESKER_ENGINE=flox` can make that impossible."""
        try:
            return bool(cls.version())
        except EskerError:
            return False

    @classmethod
    def version(cls) -> str:
        """Return the version of Flox that is used, or whose behaviour Esker has."""
        return choose("auto", os.getcwd()).version()

    @classmethod
    def init(cls, path: StrPath | None = None, name: str | None = None, *, engine: EngineName = "auto") -> Self:
        """Make an environment in a directory, the current one without a path, and return it."""
        project = os.path.realpath(os.path.expanduser(os.fspath(path or ".")))
        choose(engine, project).init(name)
        return cls(project, engine=engine)

    def install(self, *packages: str, timeout: float | None = None) -> None:
        """Add packages to the manifest and its lock."""
        self._engine.install(checked(self._project, packages), Deadline(timeout))

    def uninstall(self, *ids: str, timeout: float | None = None) -> None:
        """Take packages out of the manifest and its lock."""
        self._engine.uninstall(checked(self._project, ids), Deadline(timeout))

    def lock(self, *, timeout: float | None = None) -> None:
        """Lock the manifest; nothing is written where its lock says the same already."""
        checked(self._project)
        self._engine.lock(Deadline(timeout))

    def list(self) -> list[Installed]:
        """Return what the lock installs on this system."""
        from esker.declare.load import load
        from esker.lock.listing import listing
        from esker.lock.resolve import read_lock
        from esker.runtimes.native.preparation import own_system

        checked(self._project)
        return listing(read_lock(load(self._project)), own_system())

    def run(
        self,
        command: str,
        args: Sequence[str] | None = None,
        *,
        cwd: StrPath | None = None,
        capture: bool = True,
        stdin: str | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run a program in the environment, in the caller's directory unless `cwd` names another.

        No exit status is an error. Without `capture` its output goes where ours does, and none is returned.
        """
        return self._run([command, *(args or ())], cwd, stdin, Deadline(timeout), capture=capture)

    async def arun(
        self,
        command: str,
        args: Sequence[str] | None = None,
        *,
        cwd: StrPath | None = None,
        capture: bool = True,
        stdin: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the parameters of `run`
    ) -> Result:
        """Do as `run`; a program that nobody awaits any more is killed."""
        argv = [command, *(args or ())]
        return await in_thread(lambda gone: self._run(argv, cwd, stdin, Deadline(timeout, gone), capture=capture))

    def _run(
        self, argv: Sequence[str], cwd: StrPath | None, stdin: str | None, deadline: Deadline, *, capture: bool
    ) -> Result:
        checked(self._project, runs=True)
        directory = None if cwd is None else os.fspath(cwd)
        done = self._engine.run(argv, cwd=directory, capture=capture, stdin=stdin, deadline=deadline)
        return Result(done.returncode, done.stdout, done.stderr)

    def activate(self, *, timeout: float | None = None) -> None:
        """Set this process's variables to those of the environment, until `deactivate`; a second time does nothing."""
        if not self._switched_on:
            self._enter(Deadline(timeout))
            self._switched_on = True

    def deactivate(self) -> None:
        """Undo `activate`; without one nothing happens. What the caller has changed meanwhile stays changed."""
        if self._switched_on:
            self._switched_on = False
            self._leave()()

    def __enter__(self) -> Self:
        self._enter(Deadline())
        try:
            self._releases.append(self._use(Deadline(self._timeout)))
        except BaseException:
            self._leave()()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._releases.pop()()
        finally:
            self._leave()()

    async def __aenter__(self) -> Self:
        begun = None
        if not self.is_activated:
            PROCESS.check(self._engine.key)
            begun = await in_thread(
                lambda gone: self._begin(variables.current(), Deadline(None, gone)), lambda begun: begun[1]()
            )
        # The variables are set by the thread that runs the block, so that nothing nested in it meets another's.
        self._enter(Deadline(), begun)
        try:
            release = await in_thread(lambda gone: self._use(Deadline(self._timeout, gone)), lambda release: release())
        except BaseException:
            leave = self._leave()
            await in_thread(lambda _: leave())
            raise
        self._releases.append(release)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        release = self._releases.pop()
        try:
            await in_thread(lambda _: release())
        finally:
            leave = self._leave()
            await in_thread(lambda _: leave())

    def _begin(self, environ: Mapping[str, str], deadline: Deadline) -> Begun:
        checked(self._project, runs=True)
        return self._engine.begin(environ, deadline)

    def _enter(self, deadline: Deadline, begun: Begun | None = None) -> None:
        fresh = False
        try:
            with PROCESS.lock:
                fresh = PROCESS.enter(self._engine.key, lambda environ: begun or self._begin(environ, deadline))
        finally:
            if begun and not fresh:
                begun[1]()

    def _leave(self) -> Callable[[], object]:
        with PROCESS.lock:
            return PROCESS.leave(self._engine.key)

    def _use(self, deadline: Deadline) -> Callable[[], object]:
        return self._engine.services.use(self._names, deadline) if self._names else nothing


def flox_required(
    path: StrPath | None = None,
    services: Iterable[str] | None = None,
    *,
    engine: EngineName = "auto",
    timeout: float = READY,
) -> Callable[[F], F]:
    """Let a function run in the environment, with services: `@flox_required(".", services=["postgres"])`.

    Functions, methods, coroutines and generators keep their kind. It may stand above or below `@angreal.command`. A
    relative path starts at the file that defines the function; the nearest `.flox` from there upwards counts.
    """
    if callable(path):
        raise TypeError("write `@flox_required()`, with parentheses")
    names = _names(services)

    def decorate(function: F) -> F:
        start = defining_directory(function)

        def context() -> Flox:
            return Flox(find_project(path, start or os.getcwd()), names, engine=engine, timeout=timeout)

        return decorated(function, context)

    return decorate


def _names(services: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(services, str):
        raise TypeError("`services` is a list of names, not one text")
    return tuple(services or ())
