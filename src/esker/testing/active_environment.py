"""A project's environment as one process that runs tests has it: active once, its services leased to this process.

Where the environment is not active yet, it is activated here. Inside `esker activate` it is only joined: Python is then
often the environment's own, which has Esker's source at best and nothing that Esker needs, so that services are asked
for through the `esker` command. Whichever it is, a lease ends with this process, however that ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from esker.activate.lists import active_environments, dot_flox_of
from esker.errors import EskerError, HostError, NotFound, ServiceError
from esker.host import process, variables
from esker.runtimes import registry

__all__ = ["ActiveEnvironment", "active", "find_project"]

Hold = Callable[[Sequence[str], float], object]
"""Starts services for this process, within some seconds."""


class ActiveEnvironment:
    """The environment of the tests, active in this process."""

    def __init__(self, project: str, hold: Hold) -> None:
        self.project = project
        """The project directory, absolute, with links resolved."""
        self._hold = hold
        self._held: set[str] = set()
        self._failed: dict[frozenset[str], EskerError] = {}

    def start(self, *names: str, seconds: float = 60.0) -> None:
        """Start services with what they depend on, or join them, and return when they are ready.

        They run until the last test has ended; those that others use, or that were started to stay, run on. Raises
        ServiceFailed, ServicesNotReady or UnknownService; what has failed once is not tried again.
        """
        missing = frozenset(names) - self._held
        if missing in self._failed:
            raise self._failed[missing].with_traceback(None)
        if not missing:
            return
        try:
            self._hold(sorted(missing), seconds)
        except EskerError as error:
            self._failed[missing] = error
            raise
        self._held |= missing


def find_project(root: str, named: str) -> str:
    """Return the project of tests below `root`: the one that is `named`, else the nearest, else the active one."""
    start = os.path.join(root, named)
    try:
        return registry.find(start, explicit=bool(named))[0]
    except NotFound:
        around = _active_projects(variables.current())
        if around and not named:
            return around[0]
        hint = f"make one: `esker init -d {root}`, or name where it is: `esker_project` in pytest's settings"
        raise NotFound(f"no environment for the tests was found in `{start}`", hint=hint) from None


@contextmanager
def active(project: str) -> Iterator[ActiveEnvironment]:
    """Give the environment of `project`; at the end this process is as it was, and services that nobody uses stop."""
    joined = project in _active_projects(variables.current())
    with (_joined if joined else _activated)(project) as hold:
        yield ActiveEnvironment(project, hold)


def _active_projects(environ: Mapping[str, str]) -> list[str]:
    """Return the projects whose environments are active around this process, newest first."""
    found = map(dot_flox_of, active_environments(environ.get("_FLOX_ACTIVE_ENVIRONMENTS")))
    return [os.path.dirname(os.path.realpath(path)) for path in found if path]


@contextmanager
def _activated(project: str) -> Iterator[Hold]:
    """Activate an environment in this process."""
    from esker.environment import Environment

    environment = Environment(project)

    def hold(names: Sequence[str], seconds: float) -> None:
        with _whole_esker():
            leases.enter_context(environment.services.lease(*names, seconds=seconds))

    with _whole_esker():
        environment.activate()
    with ExitStack() as leases:
        leases.callback(environment.deactivate)
        yield hold


@contextmanager
def _joined(project: str) -> Iterator[Hold]:
    """Use an environment that is active around this process, in the variables that it has now."""
    environ = variables.current()
    words = ["--dir", project, "--pid", str(os.getpid()), "--token", os.urandom(8).hex()]
    held = False

    def services(verb: str, *arguments: str) -> None:
        argv = [*_command(environ), "services", verb, *words, *arguments]
        done = process.run(argv, environ=environ, check=False, stdin="")
        if done.returncode:
            raise _error(done.stdout) or ServiceError(done.stderr.strip())

    def hold(names: Sequence[str], seconds: float) -> None:
        nonlocal held
        services("hold", "--json", "--timeout", f"{seconds:g}", *names)
        held = True

    try:
        yield hold
    finally:
        if held:
            services("release")


def _error(text: str) -> EskerError | None:
    """Return the error whose record a command has printed, if it has."""
    from esker.services.supervised.protocol import error_of

    try:
        return error_of(json.loads(text))
    except ValueError:
        return None


def _command(environ: Mapping[str, str]) -> list[str]:
    """Return the words that begin a command of Esker."""
    if process.find_program("esker", environ.get("PATH")):
        return ["esker"]
    with _whole_esker():
        import esker.declare.load  # noqa: F401  # whether it can be
    return [sys.executable, "-m", "esker"]


@contextmanager
def _whole_esker() -> Iterator[None]:
    """Say what to do where this Python has Esker's source and not what it needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise HostError(
            f"`{sys.executable}` has no `{error.name}`, which Esker needs",
            hint="run the tests in the environment (`esker activate -- python -m pytest`) with `esker` on PATH",
        ) from None
