"""An environment for programs that were written for Flox: a thin face over `Environment`, and a decorator."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from esker.activate.active import nothing
from esker.activate.decoration import decorated, defining_directory
from esker.environment import Environment
from esker.errors import CommandFailed, EskerError, NotFound
from esker.flox.editor import editor
from esker.flox.engine import engine_name, runtime_name
from esker.flox.project import check_exists, find_flox_project
from esker.flox.services import FloxServices
from esker.host import process, variables
from esker.host.clock import Deadline
from esker.host.interruption import plain
from esker.host.worker import in_thread
from esker.services.chamber import START_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from esker.activate.active import Begun
    from esker.flox.editor import Editor
    from esker.flox.engine import EngineName
    from esker.lock.listing import Installed

__all__ = ["Flox", "Result", "flox_required"]

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
        timeout: float = START_SECONDS,
    ) -> None:
        self._project = find_flox_project(path, os.getcwd())
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
        try:
            return self._environment.is_active
        except NotFound:
            return False

    _is_activated = is_activated

    @property
    def services(self) -> FloxServices:
        """The services of the environment."""
        return FloxServices(self._project, engine=self._engine_name)

    @cached_property
    def _engine(self) -> str:
        return engine_name(self._engine_name)

    @cached_property
    def _environment(self) -> Environment:
        runtime = runtime_name(self._engine_name, self._project)
        check_exists(self._project, runtime)
        return Environment(self._project, runtime=runtime)

    @property
    def _editor(self) -> Editor:
        return editor(self._engine, self._project)

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
        return editor(engine_name("auto"), os.getcwd()).version()

    @classmethod
    @plain
    def init(cls, path: StrPath | None = None, name: str | None = None, *, engine: EngineName = "auto") -> Self:
        """Make an environment in a directory, the current one without a path, and return it."""
        project = os.path.realpath(os.path.expanduser(os.fspath(path or ".")))
        editor(engine_name(engine), project).init(name)
        return cls(project, engine=engine)

    @plain
    def install(self, *packages: str, timeout: float | None = None) -> None:
        """Add packages to the manifest and its lock."""
        check_exists(self._project)
        self._editor.install(packages, Deadline(timeout))

    @plain
    def uninstall(self, *ids: str, timeout: float | None = None) -> None:
        """Take packages out of the manifest and its lock."""
        check_exists(self._project)
        self._editor.uninstall(ids, Deadline(timeout))

    @plain
    def lock(self, *, timeout: float | None = None) -> None:
        """Lock the manifest; nothing is written where its lock says the same already."""
        check_exists(self._project)
        self._editor.lock(Deadline(timeout))

    def list(self) -> list[Installed]:
        """Return what the lock installs on this system."""
        from esker.declare.load import load
        from esker.lock.listing import listing
        from esker.lock.lock_files import read_lock
        from esker.settings import Settings

        check_exists(self._project)
        return listing(read_lock(load(self._project)), Settings(variables.current()).system)

    @plain
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
        directory = None if cwd is None else os.fspath(cwd)
        with self._environment.inside(deadline) as inside:
            try:
                done = process.run(
                    argv, environ=inside, check=False, timeout=deadline, cwd=directory, capture=capture, stdin=stdin
                )
            except CommandFailed as error:  # it did not start: Flox, too, says so and has a shell's status
                return Result(error.status, "", f"{error.message}\n")
        return Result(done.returncode, done.stdout, done.stderr)

    @plain
    def activate(self, *, timeout: float | None = None) -> None:
        """Set this process's variables to those of the environment, until `deactivate`; a second time does nothing."""
        if not self._switched_on:
            self._environment.enter(Deadline(timeout))
            self._switched_on = True

    @plain
    def deactivate(self) -> None:
        """Undo `activate`; without one nothing happens. What the caller has changed meanwhile stays changed."""
        if self._switched_on:
            self._switched_on = False
            self._environment.leave()()

    @plain
    def __enter__(self) -> Self:
        self._environment.enter(Deadline())
        try:
            self._releases.append(self._lease(Deadline(self._timeout)))
        except BaseException:
            self._environment.leave()()
            raise
        return self

    @plain
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._releases.pop()()
        finally:
            self._environment.leave()()

    async def __aenter__(self) -> Self:
        environment, begun = self._environment, None
        if not environment.is_active:
            environment.check_free()
            begun = await in_thread(lambda gone: environment.begin(Deadline(None, gone)), _end)
        # The variables are set by the thread that runs the block, so that nothing nested in it meets another's.
        environment.enter(Deadline(), begun)
        try:
            release = await in_thread(
                lambda gone: self._lease(Deadline(self._timeout, gone)), lambda release: release()
            )
        except BaseException:
            leave = environment.leave()
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
            leave = self._environment.leave()
            await in_thread(lambda _: leave())

    def _lease(self, deadline: Deadline) -> Callable[[], object]:
        """Start the services of the block, and return what releases them."""
        return self._environment.services.lease(*self._names, seconds=deadline).release if self._names else nothing


def flox_required(
    path: StrPath | None = None,
    services: Iterable[str] | None = None,
    *,
    engine: EngineName = "auto",
    timeout: float = START_SECONDS,
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
            return Flox(find_flox_project(path, start or os.getcwd()), names, engine=engine, timeout=timeout)

        return decorated(function, context)

    return decorate


def _names(services: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(services, str):
        raise TypeError("`services` is a list of names, not one text")
    return tuple(services or ())


def _end(begun: Begun) -> None:
    begun.end()
