"""A project's environment in a process that runs tests: active once, with its services leased to this process.

If the environment is not active yet, this module activates it in the process. Inside `esker activate` it only joins the
active environment. There Python is often the environment's own, which has Esker's source at best and none of Esker's
dependencies, so we ask for services through the `esker` command. Either way, the lease ends when this process ends, for
whatever reason.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from esker.activate.lists import active_environments, dot_flox_of
from esker.errors import EskerError, HostError, NotFound, ServiceError
from esker.host import isolation, process, variables
from esker.runtimes import registry

__all__ = ["ActiveEnvironment", "active", "find_tests_project"]

Hold = Callable[[Sequence[str], float], object]
"""Takes names of services and a timeout in seconds, and starts the services for this process."""


class ActiveEnvironment:
    """The environment of the tests, active in this process."""

    def __init__(self, project: str, hold: Hold) -> None:
        self.project = project
        """The absolute path of the project directory, with symbolic links resolved."""
        self._hold = hold
        self._held: set[str] = set()
        self._failed: dict[frozenset[str], EskerError] = {}

    def start(self, *names: str, seconds: float = 60.0) -> None:
        """Start services and their dependencies, or join those that run already, and return when all are ready.

        They run until the last test has ended, and longer if somebody else uses them or started them to stay. Raises
        ServiceFailed, ServicesNotReady or UnknownService. If the same services are asked for again after a failure, the
        same error is raised at once.
        """
        __tracebackhide__ = True  # pytest shows the caller's line, and what failed, in place of our code
        missing = frozenset(names) - self._held
        if missing and missing not in self._failed:
            try:
                self._hold(sorted(missing), seconds)
            except EskerError as error:
                self._failed[missing] = error
        if missing in self._failed:
            raise self._failed[missing].with_traceback(None)
        self._held |= missing


def find_tests_project(root: str, named: str) -> str:
    """Return the project directory for the tests below `root`.

    It is `named`, if that is not empty; otherwise the nearest project, and if there is none, the active one.
    """
    start = os.path.join(root, named)
    try:
        return registry.find_project(start, explicit=bool(named))[0]
    except NotFound:
        projects = _active_projects(variables.current())
        if projects and not named:
            return projects[0]
        if named:
            message = f"`esker_project = {named}` in pytest's settings names `{start}`, which has no environment"
            hint = f"correct it: the path of a project directory, relative to `{root}`"
            raise NotFound(message, hint=hint) from None
        hint = f"make one with `esker init -d {root}`, or set `esker_project` in pytest's settings to its directory"
        raise NotFound(f"no environment for the tests was found in `{start}`", hint=hint) from None


@contextmanager
def active(project: str) -> Iterator[ActiveEnvironment]:
    """Yield the environment of `project`; at the end, restore this process and stop services that nobody else uses."""
    joined = project in _active_projects(variables.current())
    with (_joined if joined else _activated)(project) as hold:
        yield ActiveEnvironment(project, hold)


def _active_projects(environ: Mapping[str, str]) -> list[str]:
    """Return the projects whose environments this process was started in, the most recently activated first."""
    paths = map(dot_flox_of, active_environments(environ.get("_FLOX_ACTIVE_ENVIRONMENTS")))
    return [os.path.dirname(os.path.realpath(path)) for path in paths if path]


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
    """Use the active environment that this process was started in, with the variables of this moment."""
    environ = variables.current()
    options = ["--dir", project, "--pid", str(os.getpid()), "--token", os.urandom(8).hex()]
    held = False

    def services(verb: str, *arguments: str) -> None:
        argv = [*_command(environ), "services", verb, *options, *arguments]
        result = process.run(argv, environ=environ, check=False, stdin="")
        if result.returncode:
            raise _error(result.stdout) or ServiceError(result.stderr.strip())

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
    """Return the error that a command printed as JSON, or None if `text` is not such an error."""
    from esker.services.supervised.protocol import error_of

    try:
        return error_of(json.loads(text))
    except ValueError:
        return None


def _command(environ: Mapping[str, str]) -> list[str]:
    """Return the first words of an Esker command: `esker` if it is on PATH, otherwise one with this Python."""
    if process.find_program("esker", environ.get("PATH")):
        return ["esker"]
    with _whole_esker():
        import esker.declare.load  # noqa: F401  # fails here, with a hint, if Esker's dependencies are missing
    return isolation.command()


@contextmanager
def _whole_esker() -> Iterator[None]:
    """Raise HostError, which says what to do, if this Python has Esker's source but not its dependencies."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise HostError(
            f"`{sys.executable}` has no `{error.name}`, which Esker needs",
            hint="run the tests in the environment (`esker activate -- python -m pytest`) with `esker` on PATH",
        ) from None
