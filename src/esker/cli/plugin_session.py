"""One run of pytest, served: its environment, and the services that its process uses.

The process that runs the tests sends requests as lines of JSON, and gets one reply for each. It is another process
because the Python of an environment has none of Esker's dependencies. But it holds the services itself: they are leased
to its pid, so they stop when it ends, however it ends. This session ends with it too, and undoes what it has begun.
"""

from __future__ import annotations

import json
import os
import select
import signal
from contextlib import ExitStack
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO

from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_environments, project_of
from esker.environment import Environment
from esker.errors import EskerError, NotFound, UsageError
from esker.host import pidfd, variables
from esker.host.clock import Abandoned, Abandonment, Deadline
from esker.runtimes import registry
from esker.services import received

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["VERSION", "find_tests_project", "serve"]

VERSION = 1
"""The version of the protocol; docs/reference/testing.md says what changes it."""
_READ = 1 << 16
"""Bytes."""


def serve(requests: int, replies: BinaryIO, pid: int) -> None:
    """Answer the lines that come from the descriptor `requests`, until its end or the end of the process `pid`."""
    # An interrupt at the terminal reaches us too. It is pytest's to decide what it means: `close` comes then.
    signal.signal(signal.SIGINT, lambda *_: None)
    given_up = Abandonment()
    lines: SimpleQueue[bytes | None] = SimpleQueue()
    reader = Thread(target=_read, args=(requests, pid, lines.put, given_up.set), daemon=True)
    reader.start()
    with ExitStack() as stack:
        session = _Session(pid, given_up, stack)
        while (line := lines.get()) is not None:
            reply, closes = session.reply(line)
            try:
                replies.write(json.dumps(reply).encode() + b"\n")
            except BrokenPipeError:
                return
            if closes:
                return


def _read(requests: int, pid: int, put: Callable[[bytes | None], object], give_up: Callable[[], object]) -> None:
    """Put each line, and None at the end; give up what is under way when the tests want no result of it any more."""
    with pidfd.opened(pid) as process:
        poll = select.poll()
        poll.register(requests, select.POLLIN | select.POLLHUP)
        if process is not None:
            poll.register(process, select.POLLIN)  # a child of the tests may hold the pipe open after their end
        rest = b""
        while process is not None:
            if any(descriptor == process for descriptor, _ in poll.poll()):
                break
            data = os.read(requests, _READ)
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                if _is_last(line):
                    give_up()
                put(line)
        give_up()
        put(None)


def _is_last(line: bytes) -> bool:
    try:
        return received.json_object(line).get("do") == "close"
    except ValueError:
        return False


class _Session:
    """What one process that runs tests has opened."""

    def __init__(self, pid: int, given_up: Abandonment, stack: ExitStack) -> None:
        self._pid = pid
        self._token = os.urandom(8).hex()
        self._given_up = given_up
        self._stack = stack
        self._environment: Environment | None = None
        self._leases = False

    def reply(self, line: bytes) -> tuple[dict[str, Any], bool]:
        """Return the reply to a request, and whether it was the last one."""
        identity: object = None
        try:
            request = received.json_object(line)
            identity = request.get("id")
            verb = received.one_of("open", "start", "close")(request.get("do"))
            do = {"open": self._open, "start": self._start, "close": self._close}[verb]
            return {"id": identity, **do(request)}, verb == "close"
        except ValueError as error:
            refused: EskerError = UsageError(f"the tests have sent a request that is not valid: {error}")
        except Abandoned:
            refused = EskerError("the tests have ended before this was done")
        except EskerError as error:
            refused = error
        return {"id": identity, "error": {**refused.record(), "text": str(refused)}}, False

    def _open(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Activate the environment for the tests, or join it if the tests run in it already."""
        if self._environment is not None:
            raise ValueError("there is an open environment already")
        root, named = received.text(request.get("root")), received.text(request.get("project"))
        environ = _environ(request)
        _become(environ)
        environment = Environment(find_tests_project(root, named, environ))
        if environment.project not in _active_projects(environ):
            environment.enter(Deadline(None, self._given_up))
            self._stack.callback(_leave, environment)
        self._environment = environment
        self._stack.callback(self._release)
        return {"project": environment.project, **_changes(environ, variables.current())}

    def _start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Start services for the process that runs the tests, and wait until they are ready."""
        from esker.cli.views.services import state_record

        services = self._opened().services
        names: tuple[str, ...] = received.value("tuple[str, ...]", request.get("services"), {})
        deadline = Deadline(received.value("float", request.get("seconds", 60.0), {}), self._given_up)
        self._leases = True
        leased = services.lease(*names, seconds=deadline, pid=self._pid, token=self._token)
        return {"services": [state_record(status) for status in leased.statuses]}

    def _close(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Release the services, and leave the environment: the reply says what that changes in the tests' variables."""
        self._opened()
        environ = _environ(request)
        _become(environ)
        self._stack.close()
        return _changes(environ, variables.current())

    def _opened(self) -> Environment:
        if self._environment is None:
            raise ValueError("there is no open environment")
        return self._environment

    def _release(self) -> None:
        if self._leases and self._environment is not None:
            self._environment.services.release(self._pid, self._token)


def _leave(environment: Environment) -> None:
    end = environment.leave()
    end()


def _environ(request: Mapping[str, Any]) -> dict[str, str]:
    environ: dict[str, str] = received.value("Mapping[str, str]", request.get("environ"), {})
    return environ


def _become(environ: Mapping[str, str]) -> None:
    """Take the variables of the process that runs the tests: what an activation changes depends on them."""
    gone = dict.fromkeys(variables.current().keys() - environ.keys())
    variables.assign({**gone, **environ})


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return {"set": changed, "unset": sorted(before.keys() - after.keys())}


def find_tests_project(root: str, named: str, environ: Mapping[str, str]) -> str:
    """Return the project directory for the tests below `root`, whose variables are `environ`.

    It is `named`, if that is not empty; otherwise the nearest project, and if there is none, the active one.
    """
    start = os.path.join(root, named)
    active = [] if named else _active_projects(environ)
    try:
        project, kind = registry.find_project(start, explicit=bool(named))
        return active[0] if active and registry.RUNTIMES[kind].is_last else project
    except NotFound:
        if active:
            return active[0]
        if named:
            message = f"`esker_project = {named}` in pytest's settings names `{start}`, which has no environment"
            hint = f"correct it: the path of a project directory, relative to `{root}`"
            raise NotFound(message, hint=hint) from None
        hint = f"make one with `esker init -d {root}`, or set `esker_project` in pytest's settings to its directory"
        raise NotFound(f"no environment for the tests was found in `{start}`", hint=hint) from None


def _active_projects(environ: Mapping[str, str]) -> list[str]:
    """Return the projects whose environments are active for a process, the most recently activated first."""
    projects = map(project_of, active_environments(environ.get(ACTIVE_ENVIRONMENTS)))
    return [os.path.realpath(project) for project in projects if project]
