"""The services of an image: what the first process of a container does, and its health check.

The first process is the guardian, in the foreground: it reaps, forwards signals to the supervisor, and ends when
nothing of the services is left. A process beside the supervisor asks it to start all services, prints their logs, and
has the container end with status 1 if they do not start, or if one fails later. If a signal asks the container to end,
it does so with status 0, whether the services run or only start. What is to be started stands in a file of the image:

    {"services": [...], "variables": {...}, "directory": "/app", "state": "/var/cache/esker/services",
     "runtime": "/run/esker/services"}

The image has nothing of Esker's but these modules, and they import nothing that is not in the standard library.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress
from threading import Event, Thread
from typing import Any, NamedTuple

from esker.errors import CommandFailed, EskerError, SupervisorEnded
from esker.host import runtime_directory
from esker.host.process import execute
from esker.services import specification, status
from esker.services.states import ACTIVE
from esker.services.supervised import guardian, logs, protocol
from esker.services.supervised.connection import Connection, dial
from esker.services.supervised.site import Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.services.specification import ServiceSpec
    from esker.services.status import ServiceStatus

__all__ = ["health", "run"]

_PATIENCE = 10.0
"""Seconds that the supervisor may take to say how the services are."""
_ERRORS = 2
"""The descriptor of stderr."""
_PAUSE = 0.1
"""Seconds between two looks at the logs."""


class _Plan(NamedTuple):
    """What is to be started."""

    specs: tuple[ServiceSpec, ...]
    variables: dict[str, str]
    site: Site


def _plan(path: str) -> _Plan:
    with open(path, encoding="utf-8") as file:
        value: dict[str, Any] = json.load(file)
    site = Site(project=value["directory"], dot_flox=value["state"], runtime=value["runtime"])
    return _Plan(tuple(map(specification.parse, value["services"])), dict(value["variables"]), site)


def run(path: str, arguments: list[str]) -> int:
    """Run the services of the file at `path` until they have ended, and return the container's exit status.

    With arguments, they are run as a command instead, and nothing is started: so a person gets a shell.
    """
    if arguments:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, guardian.FORWARDED)  # the image's script has blocked them
        try:
            execute(arguments, os.environ)
        except CommandFailed as error:
            _say(error.message, _ERRORS)
            return error.exit_status
    signal.pthread_sigmask(signal.SIG_BLOCK, guardian.FORWARDED)  # until there is somebody to forward them to
    plan = _plan(path)
    os.makedirs(plan.site.logs, exist_ok=True)
    runtime_directory.make_user(os.path.dirname(plan.site.runtime))
    ours, theirs = socket.socketpair()
    starter = os.fork()
    if starter == 0:
        theirs.close()
        os._exit(_start(plan, ours))
    ours.close()
    others: dict[int, int] = {}
    site = plan.site
    ended = guardian.guard([site.socket, site.runtime, site.dot_flox, str(theirs.detach())], others)
    failed = os.WIFEXITED(others.get(starter, 0)) and os.WEXITSTATUS(others.get(starter, 0)) != 0
    return 1 if failed or ended else 0


def _start(plan: _Plan, connection: socket.socket) -> int:
    """Have the supervisor start the services, and print their logs until they have ended; return our exit status."""
    for number in guardian.FORWARDED:  # they end the supervisor, and then we have more to print
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ended, looked_since = Event(), Event()

    def pause() -> bool:
        if looked_since.is_set():
            return False
        if ended.wait(_PAUSE):  # what was written until then is still to be looked at
            looked_since.set()
        return True

    paths = {spec.name: f"{plan.site.logs}/{logs.log_name(spec.name)}" for spec in plan.specs}
    # What an earlier run of this container has written was printed then.
    lines = logs.follow(paths, pause, count=0)
    printing = Thread(target=_print, args=(lines, max(map(len, paths), default=0)), daemon=True)
    printing.start()
    try:
        return _run_services(plan, connection)
    finally:
        ended.set()
        printing.join()


def _run_services(plan: _Plan, connection: socket.socket) -> int:
    """Have the supervisor start the services, and return when they have ended; return 1 if one has failed."""
    variables = {**os.environ, **plan.variables}
    request = protocol.StartRequest(
        names=(),
        specs=plan.specs,
        environments={spec.name: {**variables, **spec.vars} for spec in plan.specs},
        directory=plan.site.project,
        caller=os.getpid(),
        seconds=protocol.ENDLESS,  # who runs the container decides how long it may take to become healthy
    )
    try:
        Connection(connection, by_guardian=True).ask(request, None)
    except SupervisorEnded:
        return 0
    except (EskerError, ConnectionError) as error:
        lines = error.lines() if isinstance(error, EskerError) else ["the supervisor of the services did not start"]
        _say("\n".join(lines), _ERRORS)
        return 1
    return _until_all_have_ended(plan)


def _until_all_have_ended(plan: _Plan) -> int:
    """Wait until no service runs any more, and end the supervisor; return 1 if a service has failed.

    A service that has completed is still held, so the supervisor would wait for ever.
    """
    states: dict[str, str] = {}
    try:
        for changed in dial(plan.site.socket, by_guardian=True).changes():
            states[changed.name] = changed.status
            if len(states) == len(plan.specs) and not ACTIVE & {*states.values()}:
                break
        stop = protocol.StopRequest(names=(), caller=os.getpid())
        dial(plan.site.socket, by_guardian=True).ask(stop, None)
    except (EskerError, OSError):  # somebody else has ended the supervisor
        return 0
    return int("Error" in states.values())


def _print(lines: Iterable[tuple[str, str]], width: int) -> None:
    for name, line in lines:
        _say(f"{name:<{width}} | {line}")


def _say(text: str, descriptor: int = 1) -> None:
    with suppress(OSError):
        os.write(descriptor, f"{text}\n".encode(errors="replace"))


def health(path: str) -> int:
    """Return 0 if every service is as a start waits for it, else 1 after naming those that are not."""
    try:
        answer = dial(_plan(path).site.socket).ask(protocol.StatusRequest(), _PATIENCE)
    except (EskerError, OSError) as error:
        _say(f"the services do not run: {error}")
        return 1
    states: list[ServiceStatus] = [status.parse(record) for record in answer]
    bad = [f"{each.name}: {each.health or each.status}" for each in states if not each.ready]
    _say("; ".join(bad) or "healthy")
    return 1 if bad or not states else 0
