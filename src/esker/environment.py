"""A project's environment as Python sees it: activate this process, run a program in it, or get its variables.

>>> environment = Environment("examples/items")  # doctest: +SKIP
>>> with environment:  # doctest: +SKIP
...     subprocess.run(["psql", "--version"])
>>> environment.run(["psql", "--version"], timeout=5)  # doctest: +SKIP
"""

import os
from typing import TYPE_CHECKING, Literal, Protocol, Self

from esker.activate.active import PROCESS
from esker.activate.variables import activation
from esker.declare.discover import find
from esker.errors import ActivationFailed
from esker.host import process, variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from subprocess import CompletedProcess
    from types import TracebackType

    from esker.activate.plan import Plan
    from esker.activate.variables import Activation
    from esker.progress import Progress

__all__ = ["Environment", "Runtime"]


class Runtime(Protocol):
    """What gives an environment its programs and variables; `esker.runtimes.native` is one."""

    def prepare(
        self,
        project: str,
        environ: "Mapping[str, str]",
        *,
        mode: str | None = None,
        locked: bool = False,
        progress: "Progress | None" = None,
    ) -> "Plan":
        """Return the plan of a project (absolute, links resolved), locking and realising what is not."""


class Environment:
    """The environment of the project at `path`; without a path, of the current directory or the nearest above it.

    Nothing of the project runs before `activate`, `variables` or `run`. One process has one set of variables: while a
    thread has an environment active, other threads may activate the same one, but no other.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str] | None" = None,
        *,
        mode: Literal["dev", "run"] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.project = find(os.getcwd() if path is None else os.fspath(path), explicit=path is not None)
        """The project directory, absolute, with links resolved."""
        self.mode = mode
        self._runtime = runtime
        self._depth = 0

    def __repr__(self) -> str:
        mode = f", mode={self.mode!r}" if self.mode else ""
        return f"Environment({self.project!r}{mode})"

    @property
    def is_active(self) -> bool:
        """Whether this process has the environment active, through this instance or another."""
        return self._key in PROCESS.holders

    def activate(self) -> None:
        """Set this process's variables to those of the environment; runs its hook.

        Nests: each call needs its `deactivate`. Raises EnvironmentBusy when another thread has another one active.
        """
        with PROCESS.lock:
            PROCESS.enter(self._key, self._activation)
            self._depth += 1

    def deactivate(self) -> None:
        """Undo one `activate`: the variables become what they would be without it, and the caller's own edits stay."""
        with PROCESS.lock:
            if not self._depth:
                raise ActivationFailed(f"`{self.project}` was not activated by this object")
            PROCESS.leave(self._key)
            self._depth -= 1

    def __enter__(self) -> Self:
        self.activate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self.deactivate()

    def variables(self) -> dict[str, str]:
        """Return all variables for a program in the environment, as `env` of subprocess takes them; sets none.

        Where the environment is not active its hook runs for this call.
        """
        current = variables.current()
        return current if self.is_active else self._activation(current).apply(current)

    def run(
        self,
        argv: "Sequence[str]",
        *,
        check: bool = True,
        timeout: float | None = None,
        cwd: str | None = None,
        capture: bool = False,
        stdin: str | None = None,
    ) -> "CompletedProcess[str]":
        """Run a program of the environment to its end.

        With `check`, raises CommandFailed when its status is not 0; with a `timeout` in seconds, raises TimedOut after
        it and all its children were killed. `capture` keeps its output as text; `stdin` is what it reads.
        """
        return process.run(
            argv, environ=self.variables(), check=check, timeout=timeout, cwd=cwd, capture=capture, stdin=stdin
        )

    @property
    def _key(self) -> str:
        return f"{self.project}\0{self.mode or ''}"

    def _activation(self, environ: "Mapping[str, str]") -> "Activation":
        plan = self._plan(environ)
        place = plan.runtime_directory(environ.get("XDG_RUNTIME_DIR"))
        return activation(plan, environ, runtime_directory=place)

    def _plan(self, environ: "Mapping[str, str]") -> "Plan":
        if self._runtime is not None:
            return self._runtime.prepare(self.project, environ, mode=self.mode)
        from esker.runtimes import native

        return native.prepare(self.project, environ, mode=self.mode)
