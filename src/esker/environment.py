"""A project's environment as Python sees it: activate this process, run a program in it, or get its variables.

>>> environment = Environment("examples/items")  # doctest: +SKIP
>>> with environment:  # doctest: +SKIP
...     subprocess.run(["psql", "--version"])
>>> environment.run(["psql", "--version"], timeout=5)  # doctest: +SKIP
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Self

from esker.activate.active import PROCESS, shared
from esker.errors import ActivationFailed
from esker.host import process, variables
from esker.host.clock import Deadline
from esker.host.interruption import plain
from esker.runtimes import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from subprocess import CompletedProcess
    from types import TracebackType

    from esker.activate.active import Begun
    from esker.runtimes.protocol import Runtime
    from esker.services.chamber import Chamber, Leased

__all__ = ["Environment", "chamber"]


class Environment:
    """One runtime and one chamber: what a project's environment gives programs, and the services beside it.

    The project is the directory `path`; without a path, the current directory or the nearest project above it.
    `services` are started with the environment and run while it is active or somebody else uses them: a service that
    others use, or that was started to stay, is neither started again nor stopped. `runtime` is the name of a runtime,
    in place of the one that the project is declared for. With `without_packages`, packages of `[install]` that are not
    on this machine are left out; otherwise they are an error.

    Nothing of the project runs before `activate`, `variables`, `run` or the start of a service. One process has one set
    of variables: while a thread has an environment active, other threads may activate the same one, but no other.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        services: Sequence[str] | None = None,
        *,
        mode: Literal["dev", "run"] | None = None,
        runtime: str | Runtime | None = None,
        without_packages: bool = False,
    ) -> None:
        if isinstance(services, str):
            raise TypeError("`services` is a list of names, not one text")
        start = os.curdir if path is None else os.fspath(path)
        by_name_alone = {name for name, kind in registry.RUNTIMES.items() if not kind.declarations}
        named = runtime if isinstance(runtime, str) and runtime not in by_name_alone else None
        self.project, declared = registry.find_project(start, explicit=path is not None, runtime=named)
        """The project directory, absolute, with links resolved."""
        self.mode = mode
        chosen = declared if runtime is None else runtime
        if without_packages and not isinstance(chosen, str):
            raise TypeError("`without_packages` is for a runtime that is given by its name")
        self._runtime = (
            registry.runtime(chosen, self.project, mode, without_packages=without_packages)
            if isinstance(chosen, str)
            else chosen
        )
        self._depth = 0
        self._names = tuple(services or ())
        self._leased: Leased | None = None

    def __repr__(self) -> str:
        mode = f", mode={self.mode!r}" if self.mode else ""
        return f"Environment({self.project!r}{mode})"

    @property
    def is_active(self) -> bool:
        """Whether this process has the environment active, through this instance or another."""
        return self._key in PROCESS.holders

    @plain
    def activate(self) -> None:
        """Set this process's variables to those of the environment; runs its hook, unless a start of it is running.

        A start lasts from the first process that activates the environment until the last has left; what its hook has
        changed is taken over by the others.

        Nests: each call needs its `deactivate`. Raises EnvironmentBusy when another thread has another one active, and
        ModeClash when other processes have this one active in another mode.
        """
        with PROCESS.lock:
            self.enter()
            self._depth += 1
            if self._depth == 1 and self._names:
                try:
                    self._leased = self.services.lease(*self._names)
                except BaseException:
                    self.deactivate()
                    raise

    @plain
    def deactivate(self) -> None:
        """Undo one `activate`: the variables become what they would be without it, and the caller's own edits stay."""
        with PROCESS.lock:
            if not self._depth:
                raise ActivationFailed(f"`{self.project}` was not activated by this object")
            end = self.leave()
            self._depth -= 1
            leased = None
            if not self._depth:
                leased, self._leased = self._leased, None
        try:
            if leased is not None:
                leased.release()
        finally:
            end()

    @plain
    def __enter__(self) -> Self:
        self.activate()
        return self

    @plain
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deactivate()

    @property
    def services(self) -> Chamber:
        """The services of the environment: start, stop, restart, status, logs, wait.

        Nothing is locked, installed or run before one of them is started.
        """
        return chamber(self._runtime, variables.current(), self._activation)

    @plain
    def variables(self) -> dict[str, str]:
        """Return all variables for a program in the environment, as `env` of subprocess takes them; sets none.

        Where the environment is not active anywhere its hook runs for this call.
        """
        with self.inside(Deadline()) as inside:
            return inside

    @plain
    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout: float | Deadline | None = None,
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
        # A plain number of seconds limits the program alone; a deadline limits the hook before it, too.
        with self.inside(timeout if isinstance(timeout, Deadline) else Deadline()) as inside:
            return process.run(
                argv, environ=inside, check=check, timeout=timeout, cwd=cwd, capture=capture, stdin=stdin
            )

    def begin(self, deadline: Deadline) -> Begun:
        """Begin an activation that `enter` can use; set no variable of this process."""
        return self._runtime.begin(variables.current(), deadline)

    def enter(self, deadline: Deadline | None = None, begun: Begun | None = None) -> None:
        """Activate the environment, or count one use of it more; `leave` takes one away.

        `begun` is what `begin` has returned; where the environment is active by now it is ended instead of entered.
        """
        fresh = False
        try:
            with PROCESS.lock:
                fresh = PROCESS.enter(self._key, lambda environ: begun or self._runtime.begin(environ, deadline))
        finally:
            if begun is not None and not fresh:
                begun.end()

    def leave(self) -> Callable[[], object]:
        """Undo one `enter`, and return what is left to do: it ends the activation after its last use."""
        with PROCESS.lock:
            return PROCESS.leave(self._key)

    def check_free(self) -> None:
        """Raise EnvironmentBusy when another thread has another environment active."""
        PROCESS.check(self._key)

    @property
    def _key(self) -> str:
        return f"{self.project}\0{self._runtime.name}\0{self.mode or ''}"

    @contextmanager
    def inside(self, deadline: Deadline) -> Iterator[dict[str, str]]:
        """Give the variables that programs inside have, and use the environment for as long as the block runs."""
        current = variables.current()
        if self.is_active:
            yield current
            return
        begun = self._runtime.begin(current, deadline)
        try:
            yield begun.activation.apply(current)
        finally:
            begun.end()

    def _activation(self, environ: Mapping[str, str], deadline: Deadline | None) -> Begun:
        """Return this process's own activation, or begin one."""
        return shared(self._key, environ, lambda given: self._runtime.begin(given, deadline))


def chamber(
    runtime: Runtime,
    environ: Mapping[str, str],
    activation: Callable[[Mapping[str, str], Deadline | None], Begun],
) -> Chamber:
    """Return the services beside a runtime, for a caller with the variables `environ`.

    When services start they get what the caller has inherited of the runtime's activation; where it has inherited none,
    `activation` is called with the caller's variables.
    """
    from esker.services.registry import chamber as beside
    from esker.settings import Settings

    def given(base: Mapping[str, str], deadline: Deadline | None) -> Begun:
        inherited = runtime.inherited(environ, base, deadline)
        return activation(environ, deadline) if inherited is None else inherited

    settings = Settings(environ)
    declaration = runtime.declaration(settings)
    return beside(runtime.name, runtime.project, settings, environ, given, declaration)
