"""The way from a command to the supervisor of an environment: found, or started once for all who ask at the same time.

Everything here happens under the environment's lock. A supervisor that was killed is cleaned up after first: what it
left running is ended, and its sockets are removed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from esker.declare import project_directory
from esker.errors import HostError, ServiceError, TimedOut
from esker.host import files, pidfd, process_id, process_table, runtime_directory
from esker.host.background import SOURCE
from esker.host.process_id import ProcessId
from esker.host.spawn import REMEDIES
from esker.services import status
from esker.services.status import ServiceStatus
from esker.services.supervised import protocol
from esker.services.supervised.record import EnvironmentLock, Record, lock_path

__all__ = ["Connection", "Site", "connect", "logs_directory"]

_HELLO = 10.0
"""Seconds until a supervisor must have greeted."""
_GONE = 12.0
"""Seconds until a guardian must have put everything in order: its grace and some."""
_LOCKED = 60.0
"""Seconds until whoever looks for a supervisor, or starts one, must have done so."""
_ALONE = "services belong to one user at a time"
_GRACE = 5.0
_POLL = 0.01
_START = """\
import sys
sys.path.insert(0, sys.argv[1])
from esker.services.supervised.guardian import main
main(sys.argv[2:])
"""

Changed = Callable[[ServiceStatus], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the services of an environment run."""

    project: str
    """The directory that their programs start in."""
    dot_flox: str
    """The `.flox`, absolute, with links resolved."""
    runtime: str
    """The environment's runtime directory, by `host.runtime_directory.environment_directory`."""
    paths: tuple[str, ...] = ()
    """What the services must be able to enter and run besides the project: the store, the interpreter."""
    store_paths: tuple[str, ...] = ()
    """What must not be collected while they run."""

    @property
    def socket(self) -> str:
        """The supervisor's socket: beside the services' directory, which may be another user's."""
        return f"{self.runtime}.sock"


def logs_directory(dot_flox: str) -> str:
    """Return where the logs of the services lie."""
    return f"{dot_flox}/log/services"


class Connection:
    """A conversation with a supervisor: one request, and what comes back."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over `connection` and hear the supervisor's greeting; raises ConnectionError when there is none."""
        self._socket = connection
        self._lines = connection.makefile("rb")
        self._guardian: int | None = None
        try:
            connection.settimeout(_HELLO)
            self._greet(self._read() or {})
        except BaseException:
            self.close()
            raise

    def _greet(self, hello: Mapping[str, Any]) -> None:
        if not hello:
            raise ConnectionResetError
        self.supervisor: int = hello.get("supervisor", 0)
        self.guardian: int = hello.get("guardian", 0)
        if "error" in hello:
            with pidfd.opened(self.guardian) as guardian:
                if guardian is not None:
                    pidfd.wait(guardian, _GONE)
            raise _not_started(hello["error"]["message"], hello["error"].get("hint"))
        try:
            protocol.versions(hello)
        except ServiceError as error:
            where = hello.get("source", "another place")
            error.hint = f"the services are run by the Esker in `{where}`: use that, or `kill {self.supervisor}`"
            raise
        self._guardian = pidfd.open_process(self.guardian)

    def _read(self) -> dict[str, Any] | None:
        line = self._lines.readline()
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    def ask(self, request: protocol.Request, seconds: float | None, changed: Changed | None = None) -> Any:
        """Send `request` and return its result; `changed` hears of each service that changes meanwhile.

        When nothing is left to run after that, return only once the supervisor is gone and all is in order.
        Raises what the supervisor met, and TimedOut when it says nothing for `seconds`.
        """
        try:
            with self:
                self._socket.settimeout(seconds)
                self._socket.sendall(protocol.request_line(request))
                while (message := self._read()) is not None:
                    if "state" in message:
                        if changed:
                            changed(status.parse(message["state"]))
                        continue
                    if message["ending"]:
                        self._await_end()
                    if "error" in message:
                        raise protocol.error_of(message["error"])
                    return message["result"]
        except TimeoutError:
            raise _silent(self.supervisor) from None
        except ConnectionError:
            pass
        raise ServiceError("the supervisor of the services was killed", hint="the next command puts things in order")

    def changes(self) -> Iterator[ServiceStatus]:
        """Yield the state of each service, and then each change, until the supervisor ends."""
        with self:
            self._socket.settimeout(None)
            self._socket.sendall(protocol.request_line(protocol.Watch()))
            while (message := self._read()) is not None:
                yield status.parse(message["state"])

    def _await_end(self) -> None:
        self._socket.settimeout(_GONE)
        while (message := self._read()) is not None and "ended" not in message:
            pass  # services that still stop
        if (message is None or message["ended"]) and self._guardian is not None:
            pidfd.wait(self._guardian, _GONE)

    def abort(self) -> None:
        """End the conversation from another thread: the one that waits for an answer gets none."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; a request that is not answered yet is taken back."""
        self._lines.close()
        self._socket.close()
        if self._guardian is not None:
            os.close(self._guardian)
            self._guardian = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _silent(supervisor: int) -> TimedOut:
    return TimedOut(
        f"the supervisor of the services (pid {supervisor}) does not answer",
        hint=f"end it with `kill -9 {supervisor}`; the next command puts things in order",
    )


def _not_started(reason: str, hint: str | None) -> ServiceError:
    return ServiceError(f"the supervisor of the services did not start: {reason}", hint=hint)


def connect(site: Site, *, start: bool) -> Connection | None:
    """Return a connection to the supervisor of `site`; None when there is none and none is to be started."""
    if not start and _is_idle(lock_path(site.dot_flox)):
        return _unlisted(site)
    with _locked(site) as lock:
        record = lock.read()
        if record and (found := _find(record, site)):
            return found
        if record:
            _put_in_order(record, site, lock.owner)
            lock.clear()
        elif start:
            _end_unlisted(site)
        return _start(site) if start else None


def _is_idle(path: str) -> bool:
    """Return whether there is no lock, or one that is not ours to write and names nobody, as in a read-only project."""
    with files.refused("look at", path, HostError, remedy=_ALONE):
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return True
    return not found.st_size and not os.access(path, os.W_OK)


@contextmanager
def _locked(site: Site) -> Iterator[EnvironmentLock]:
    path = lock_path(site.dot_flox)
    remedy = f"services need to write below `.flox/cache`, and {_ALONE.removeprefix('services ')}"
    with files.refused("lock", path, HostError, remedy=remedy):
        lock = EnvironmentLock(site.dot_flox)
    try:
        if not lock.acquire(_LOCKED):
            raise _held(lock)
        yield lock
    finally:
        lock.close()


def _held(lock: EnvironmentLock) -> TimedOut:
    holder = lock.holder()
    who = f"`{holder.program}` (pid {holder.pid})" if holder else "another process"
    end = f"`kill -9 {holder.pid}`" if holder else "end it"
    return TimedOut(
        f"{who} has held `{lock.path}` for {_LOCKED:g} s",
        hint=f"if it was suspended, let it go on, by `fg` in its shell; else {end}",
    )


def _is_ours(record: Record, site: Site) -> bool:
    """Return whether `record` (untrusted: it may have come with the project) names a socket of ours for `site`.

    That is one of this environment, where it is now or was before it was moved, in a runtime directory of this user;
    which one, each session decides for itself.
    """
    directory, name = os.path.split(record.socket)
    moved = runtime_directory.environment_name(record.dot_flox, os.stat(site.dot_flox).st_ino)
    named = name in {os.path.basename(site.socket), f"{moved}.sock"}
    return named and runtime_directory.is_ours(directory)


def _find(record: Record, site: Site) -> Connection | None:
    """Return a connection to the supervisor that `record` names, or None when it has ended."""
    host, uid = os.uname().nodename, os.geteuid()
    if record.host != host:
        raise ServiceError(
            f"the services of this environment run on the machine `{record.host}` (pid {record.supervisor.pid})",
            hint=f"stop them there; if that machine is gone, remove `{lock_path(record.dot_flox)}`",
        )
    if record.boot != process_id.boot_id():
        return None
    if not record.supervisor.lives:
        return None
    if record.uid != uid:
        raise ServiceError(
            f"the services of this environment are run by uid {record.uid}, and this process runs as uid {uid}",
            hint="ask as that user",
        )
    if not _is_ours(record, site):
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_HELLO)
        connection.connect(record.socket)
        return Connection(connection)
    except OSError as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise _silent(record.supervisor.pid) from None
        return None  # it is about to end


def _put_in_order(record: Record, site: Site, owner: int) -> None:
    """Wait for the guardian of a supervisor that has ended, or do what it would have done.

    `owner` is the uid of who may have written the record.
    """
    if record.boot == process_id.boot_id():
        for process in (record.supervisor, record.guardian):
            with process.opened() as descriptor:
                if descriptor is not None and not pidfd.wait(descriptor, _GONE):
                    raise _silent(process.pid)
        _end_leftovers(record, owner)
    if _is_ours(record, site):
        with suppress(OSError):
            os.unlink(record.socket)
        runtime_directory.clear(record.socket.removesuffix(".sock"))


def _end_leftovers(record: Record, owner: int) -> None:
    deadline = time.monotonic() + _GRACE
    told: set[int] = set()
    while left := _leftovers(record, owner):
        late = time.monotonic() - deadline
        if late > _GRACE:
            if all(found.ended for found in left):
                return
            raise ServiceError(f"process {left[0].pid} (`{left[0].program}`) of a killed supervisor cannot be ended")
        for found in left:
            if late >= 0 or found.pid not in told:
                told.add(found.pid)
                with suppress(OSError):
                    os.kill(found.pid, signal.SIGKILL if late >= 0 else signal.SIGTERM)
        with ProcessId(left[0].pid, left[0].start).opened() as descriptor:
            if descriptor is not None:
                pidfd.wait(descriptor, 0.1 if late >= 0 else -late)
            else:  # a zombie is init's to take away; until then PostgreSQL believes that its server runs
                time.sleep(_POLL)


def _leftovers(record: Record, owner: int) -> list[process_table.Entry]:
    """The processes of the services that `record` names: known ones, their sessions, and who carries the token.

    Zombies are among them. Where the record is not our own word, what it names is only the processes of its `owner`.
    """
    processes = process_table.table()
    sessions = dict(record.sessions)
    ours = {os.getpid(), *process_table.ancestors(os.getpid(), processes)}

    def belongs(found: process_table.Entry) -> bool:
        if process_table.environment(found.pid).get(b"ESKER_SUPERVISOR") == record.token.encode():
            return True
        if owner != os.geteuid() and process_table.owner(found.pid) != owner:
            return False
        if (found.pid, found.start) in record.sessions:
            return True
        # A number in use as a session is given to no new process; if its leader is another one, so is the session.
        leader = processes.get(found.session)
        return found.session in sessions and (leader is None or leader.start == sessions[found.session])

    roots = {found.pid: found for found in processes.values() if found.pid not in ours and belongs(found)}
    family = roots | {found.pid: found for found in process_table.descendants(roots, processes)}
    return sorted(family.values(), key=lambda found: found.ended)


def _unlisted(site: Site) -> Connection | None:
    """Return a connection to a supervisor at our socket that no lock names, as when its `.flox/cache` was removed."""
    if not runtime_directory.is_ours(os.path.dirname(site.socket)):
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_HELLO)
        connection.connect(site.socket)
        return Connection(connection)
    except OSError:
        connection.close()
        return None


def _end_unlisted(site: Site) -> None:
    """End a supervisor that no lock names, so that there is one for all."""
    with suppress(OSError, ServiceError):
        found = _unlisted(site)
        if found:
            with found, pidfd.opened(found.guardian) as guardian:
                os.kill(found.supervisor, signal.SIGTERM)
                if guardian is not None:
                    pidfd.wait(guardian, _GONE)


def _start(site: Site) -> Connection:
    """Start guardian and supervisor, and return the connection that the supervisor begins with."""
    import subprocess

    if sys.platform != "linux":
        raise ServiceError("services run on Linux only, so far", hint="run them in a container or a virtual machine")
    runtime_directory.check_socket_path(site.socket)
    runtime_directory.make_user(os.path.dirname(site.runtime))
    logs = logs_directory(site.dot_flox)
    messages = f"{logs}/supervisor.log"
    with files.refused("write", messages), project_directory.opened(site.dot_flox, "log", "services") as directory:
        with suppress(FileNotFoundError):
            os.unlink("supervisor.log", dir_fd=directory)
        descriptor = os.open("supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
        project_directory.give(descriptor, os.stat(site.dot_flox))
    ours, theirs = socket.socketpair()
    arguments = (SOURCE, site.socket, site.runtime, logs, site.dot_flox, str(theirs.fileno()))
    try:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _START, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            cwd="/",
            env={},
        )
    except OSError as error:
        ours.close()
        raise _not_started((error.strerror or str(error)).lower(), REMEDIES.get(error.errno or 0)) from None
    finally:
        os.close(descriptor)
        theirs.close()
    launcher.wait()
    try:
        return Connection(ours)
    except TimeoutError:
        raise _not_started(f"it said nothing for {_HELLO:g} s", f"see `{messages}`") from None
    except ServiceError as error:
        error.hint = error.hint or f"see `{messages}`"
        raise
    except ConnectionError:
        with open(messages, errors="replace") as file:
            said = file.read().strip().splitlines()
        raise _not_started(said[-1] if said else "it was ended", f"see `{messages}`") from None
