"""A project's environment as Python sees it: activate this process, run a program in it, or get its variables.

>>> environment = Environment("examples/items")  # doctest: +SKIP
>>> with environment:  # doctest: +SKIP
...     subprocess.run(["psql", "--version"])
>>> environment.run(["psql", "--version"], timeout=5)  # doctest: +SKIP
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol, Self

from esker.activate.active import PROCESS, begin, shared
from esker.declare.discover import find
from esker.errors import ActivationFailed
from esker.host import process, variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from subprocess import CompletedProcess
    from types import TracebackType

    from esker.activate.active import Begun
    from esker.activate.plan import Plan
    from esker.progress import Progress
    from esker.services.supervised.control import Leased, Services

__all__ = ["Environment", "Runtime"]


class Runtime(Protocol):
    """What gives an environment its programs and variables; `esker.runtimes.native.runtime` is one."""

    def prepare(
        self,
        project: str,
        environ: Mapping[str, str],
        *,
        mode: str | None = None,
        locked: bool = False,
        progress: Progress | None = None,
    ) -> Plan:
        """Return the plan of a project (absolute, links resolved), locking and realising what is not."""


class Environment:
    """The environment of the project at `path`; without a path, of the current directory or the nearest above it.

    `services` are started with it and run while it is active or somebody else uses them: one that others use, or that
    was started to stay, is neither started again nor stopped.

    Nothing of the project runs before `activate`, `variables`, `run` or the start of a service. One process has one set
    of variables: while a thread has an environment active, other threads may activate the same one, but no other.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        services: Sequence[str] | None = None,
        *,
        mode: Literal["dev", "run"] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        if isinstance(services, str):
            raise TypeError("`services` is a list of names, not one text")
        self.project = find(os.curdir if path is None else os.fspath(path), explicit=path is not None)
        """The project directory, absolute, with links resolved."""
        self.mode = mode
        self._runtime = runtime
        self._depth = 0
        self._wanted = tuple(services or ())
        self._leased: Leased | None = None

    def __repr__(self) -> str:
        mode = f", mode={self.mode!r}" if self.mode else ""
        return f"Environment({self.project!r}{mode})"

    @property
    def is_active(self) -> bool:
        """Whether this process has the environment active, through this instance or another."""
        return self._key in PROCESS.holders

    def activate(self) -> None:
        """Set this process's variables to those of the environment; runs its hook, unless a start of it is running.

        A start lasts from the first process that activates the environment until the last has left; what its hook has
        changed is taken over by the others.

        Nests: each call needs its `deactivate`. Raises EnvironmentBusy when another thread has another one active, and
        ModeClash when other processes have this one active in another mode.
        """
        with PROCESS.lock:
            PROCESS.enter(self._key, self._begin)
            self._depth += 1
            if self._depth == 1 and self._wanted:
                try:
                    self._leased = self.services.lease(*self._wanted)
                except BaseException:
                    self.deactivate()
                    raise

    def deactivate(self) -> None:
        """Undo one `activate`: the variables become what they would be without it, and the caller's own edits stay."""
        with PROCESS.lock:
            if not self._depth:
                raise ActivationFailed(f"`{self.project}` was not activated by this object")
            end = PROCESS.leave(self._key)
            self._depth -= 1
            leased = None
            if not self._depth:
                leased, self._leased = self._leased, None
        try:
            if leased is not None:
                leased.release()
        finally:
            end()

    def __enter__(self) -> Self:
        self.activate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deactivate()

    @property
    def services(self) -> Services:
        """The services of the environment: start, stop, restart, status, logs, wait."""
        from esker.declare.load import load
        from esker.services.supervised.chamber import supervised

        environ = variables.current()
        return supervised(
            self._plan(environ), load(self.project), lambda: shared(self._key, environ, self._begin), environ
        )

    def variables(self) -> dict[str, str]:
        """Return all variables for a program in the environment, as `env` of subprocess takes them; sets none.

        Where the environment is not active anywhere its hook runs for this call.
        """
        with self._inside() as found:
            return found

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout: float | None = None,
        cwd: str | None = None,
        capture: bool = False,
        stdin: str | None = None,
    ) -> CompletedProcess[str]:
        """Run a program of the environment to its end.

        With `check`, raises CommandFailed when its status is not 0; with a `timeout` in seconds, raises TimedOut after
        it and all its children were killed. `capture` keeps its output as text; `stdin` is what it reads.
        """
        if isinstance(argv, str):
            raise TypeError("`argv` is a list of words, not one text")
        if not argv:
            raise ValueError("`argv` is empty: it begins with the program")
        with self._inside() as found:
            return process.run(argv, environ=found, check=check, timeout=timeout, cwd=cwd, capture=capture, stdin=stdin)

    @property
    def _key(self) -> str:
        return f"{self.project}\0{self.mode or ''}"

    @contextmanager
    def _inside(self) -> Iterator[dict[str, str]]:
        """Give the variables inside, and use the environment for as long as the block runs."""
        current = variables.current()
        if self.is_active:
            yield current
            return
        found, end = self._begin(current)
        try:
            yield found.apply(current)
        finally:
            end()

    def _begin(self, environ: Mapping[str, str]) -> Begun:
        return begin(self._plan(environ), environ)

    def _plan(self, environ: Mapping[str, str]) -> Plan:
        if self._runtime is not None:
            return self._runtime.prepare(self.project, environ, mode=self.mode)
        from esker.runtimes.native import runtime as native

        return native.prepare(self.project, environ, mode=self.mode)
