"""The supervisor's process: its socket, the requests that come in there, and its end.

The process ends when every service is stopped, nothing holds one and no request is open. It decides that while it holds
the record's flock. A client that looks for a supervisor holds the same flock until the supervisor has greeted it, so no
client can connect to a supervisor that is about to end. The client that starts a supervisor passes the flock on to it:
the supervisor has it from its beginning until it has greeted that client.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.declare import project_directory
from esker.errors import EskerError, HostError, ServiceError, SupervisorEnded
from esker.host import causes, files, prctl, process_id, runtime_directory
from esker.host.background import SOURCE
from esker.host.frozen_dataclass import as_dict
from esker.services.supervised import protocol
from esker.services.supervised.record_lock import give_up, record_path
from esker.services.supervised.site import LOGS
from esker.services.supervised.supervisor import Supervisor
from esker.services.supervised.supervisor_record import RecordFile, SupervisorRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from esker.services.specification import ServiceSpec
    from esker.services.status import ServiceStatus

__all__ = ["main"]

_RETRY = 0.02
_RETRIES = 50
_BACKLOG = 1 << 20
"""If more bytes than this wait to be sent to a listener, we drop the listener."""
_PATIENCE = 60.0
"""Seconds within which a client must send its request."""
_WATCH = 30.0
"""Seconds between checks that the environment still exists."""


def main(guardian: int, arguments: list[str]) -> int:
    """Supervise until nothing is left to do; return 0 when everything was cleaned up.

    `guardian` is the guardian's pid. `arguments` are the control socket's path, the runtime directory, the `.flox`
    directory, the descriptor of a connection to the process that started us, and that of the locked record, if it is
    locked.
    """
    gc.enable()
    path, runtime, dot_flox, *descriptors = arguments
    connection, *locks = map(int, descriptors)
    for descriptor in (connection, *locks):
        os.set_inheritable(descriptor, False)
    first = socket.socket(fileno=connection)
    os.umask(0o077)
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("esker-services")
    prctl.become_subreaper()
    try:
        prctl.end_with_parent(signal.SIGTERM, guardian)
    except ProcessLookupError:
        return 1  # the guardian was killed before we could ask for a signal at its end
    try:
        with project_directory.opened(dot_flox, *LOGS) as logs:
            asyncio.run(_serve(first, locks, guardian, path=path, runtime=runtime, logs=logs, dot_flox=dot_flox))
    except (EskerError, OSError) as error:  # send it to the process that started us: if the disk is full, no log has it
        refusal = error if isinstance(error, EskerError) else HostError((error.strerror or str(error)).lower())
        with suppress(OSError):
            first.sendall(protocol.line(error=refusal.record(), guardian=guardian))
        raise
    return 0


async def _serve(
    first: socket.socket, locks: list[int], guardian: int, *, path: str, runtime: str, logs: int, dot_flox: str
) -> None:
    runtime_directory.make(runtime)  # made here and not by the client, which could be killed and leave it behind
    with files.refused("lock", record_path(dot_flox)):
        record_file = RecordFile(dot_flox)
    record = _record(guardian, path, dot_flox)
    server = _Server(record_file, record, runtime=runtime, logs=logs)
    os.umask(0o177)
    with files.refused("listen on", path):
        with suppress(FileNotFoundError):
            os.unlink(path)
        try:
            listening = await asyncio.start_unix_server(server.connected, path, limit=protocol.LIMIT)
        except OSError as error:
            if causes.is_full(error):
                raise runtime_directory.refused(path, error) from error
            raise
    os.umask(0o077)
    with files.refused("write", record_file.path):
        record_file.write(record)
    await server.run(*await asyncio.open_connection(sock=first, limit=protocol.LIMIT), locks)
    listening.close()
    with suppress(OSError):
        os.unlink(path)
    runtime_directory.clear(runtime)
    server.give_back()
    record_file.clear()
    await server.say_goodbye()


def _record(guardian: int, path: str, dot_flox: str) -> SupervisorRecord:
    return SupervisorRecord(
        token=os.urandom(8).hex(),
        dot_flox=dot_flox,
        socket=path,
        host=os.uname().nodename,
        boot=process_id.boot_id(),
        uid=os.geteuid(),
        guardian=process_id.of(guardian),
        supervisor=process_id.own(),
    )


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Return the client's line, empty if it sends none in time: a silent client must not keep the supervisor alive."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await reader.readline()
    except TimeoutError:
        return b""
    except ValueError:  # the line is longer than any request
        return b"\n"


class _Server:
    """The supervisor's conversations with clients, and the decision when the supervisor ends."""

    def __init__(self, record_file: RecordFile, record: SupervisorRecord, *, runtime: str, logs: int) -> None:
        self._record_file = record_file
        self._record = record
        self._supervisor = Supervisor(record_file, record, runtime=runtime, logs=logs, released=self._consider_end)
        self._inode = os.stat(record.dot_flox).st_ino
        self._busy: set[asyncio.Task[None]] = set()
        """Conversations whose answer has not been sent yet."""
        self._watching: set[asyncio.Task[None]] = set()
        """Those that wait until a client which watches has gone."""
        self._lingering: set[asyncio.StreamWriter] = set()
        """Clients that have their answer and wait to hear whether the supervisor ends."""
        self._must_end = False
        self._end = asyncio.Event()

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, locks: Iterable[int]) -> None:
        """Serve until all has stopped and it is time to end; the first client (`reader`, `writer`) is our starter.

        `locks` are descriptors of the locked record; the lock is given up when the starter is greeted.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._end_now)
        loop.call_later(_WATCH, self._watch)
        await self.connected(reader, writer)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a signal from before, which the guardian blocks, comes now
        for descriptor in locks:
            give_up(descriptor)
        await self._end.wait()
        await self._supervisor.stop_all()
        if self._busy:
            await asyncio.wait(self._busy)
        for _ in range(_RETRIES if self._must_end else 0):
            if self._record_file.try_acquire():
                break  # no client looks for us; a client that takes longer than our retries will see that we have ended
            await asyncio.sleep(_RETRY)

    def give_back(self) -> None:
        """Allow garbage collection of the services' store paths, because everything has stopped."""
        self._supervisor.store_paths.give_back()

    async def say_goodbye(self) -> None:
        """Tell the waiting clients that the supervisor has ended."""
        for writer in self._lingering:
            writer.write(protocol.line(ended=True))
            with suppress(ConnectionError):
                await writer.drain()
            writer.close()

    def _end_now(self) -> None:
        """End without waiting for requests, because of a signal or because the environment is gone."""
        self._must_end = True
        for task in self._busy:
            task.cancel()
        self._end.set()

    def _watch(self) -> None:
        """End if the environment was removed, because no client could find us any more."""
        try:
            gone = os.stat(self._record.dot_flox).st_ino != self._inode
        except OSError:
            gone = True
        if gone:
            self._end_now()
        else:
            asyncio.get_running_loop().call_later(_WATCH, self._watch)

    def _consider_end(self) -> None:
        """End if nothing is left to do; if a client is looking for us right now, ask again later."""
        if self._end.is_set():
            return
        if self._busy or not self._supervisor.idle:
            for writer in self._lingering:
                writer.write(protocol.line(ended=False))
                writer.close()
            self._lingering.clear()
        elif self._record_file.try_acquire():
            self._end.set()
        else:
            asyncio.get_running_loop().call_later(_RETRY, self._consider_end)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet a client and begin the conversation with it.

        If we are about to end we close the connection instead: the client waits for our end, and starts another one.
        """
        if self._end.is_set():
            writer.close()
            return
        supervisor, guardian = self._record.supervisor.pid, self._record.guardian.pid
        hello = {protocol.KEY: protocol.VERSION, "source": SOURCE, "supervisor": supervisor, "guardian": guardian}
        writer.write(protocol.line(**hello, grace=self._supervisor.grace))
        task = asyncio.create_task(self._converse(reader, writer))
        self._busy.add(task)
        task.add_done_callback(self._conversed)

    def _conversed(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        self._consider_end()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply: dict[str, object]
        try:
            if not (text := await _request(reader)):
                writer.close()
                return
            request = protocol.parse_request(text)
            if isinstance(request, protocol.WatchRequest):
                tell = self._listener(writer)
                for name in self._supervisor.services:
                    tell(self._supervisor.status(name))
                watching = asyncio.create_task(self._watched(reader, writer, tell))
                self._watching.add(watching)
                watching.add_done_callback(self._watching.discard)
                return
            reply = {"result": await self._while_connected(reader, self._answer(request, writer))}
        except EskerError as error:
            reply = {"error": error.record()}
        except asyncio.CancelledError:
            hint = "start the services again; somebody ended the supervisor or its guardian"
            reply = {"error": SupervisorEnded("the supervisor of the services was ended", hint=hint).record()}
        except ConnectionError:
            writer.close()
            return
        except Exception as error:  # noqa: BLE001  (a bug of ours goes to supervisor.log, and no client waits forever)
            traceback.print_exc()
            reply = {
                "error": ServiceError(
                    f"the supervisor of the services failed, by an error of Esker's own: {error!r}"
                ).record()
            }
        ending = self._must_end or (self._supervisor.idle and len(self._busy) == 1)
        writer.write(protocol.line(**reply, ending=ending))
        if ending:
            self._lingering.add(writer)
        else:
            writer.close()

    async def _watched(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Callable[[ServiceStatus], None]
    ) -> None:
        """Close the connection of a client that watches when the client has gone, and tell it nothing more."""
        with suppress(ConnectionError):
            await reader.read(1)
        self._supervisor.listeners.discard(tell)
        writer.close()

    async def _while_connected(self, reader: asyncio.StreamReader, answer: Coroutine[object, object, object]) -> object:
        """Return the answer; if the client closes first, cancel the work and raise ConnectionResetError."""
        task = asyncio.create_task(answer)
        gone = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, EskerError):
                    await task
                raise ConnectionResetError
            return await task
        finally:
            gone.cancel()
            task.cancel()

    def _listener(self, writer: asyncio.StreamWriter) -> Callable[[ServiceStatus], None]:
        """Send each change to the client until it goes away; return the listener."""
        listeners = self._supervisor.listeners

        def tell(status: ServiceStatus) -> None:
            if writer.is_closing() or writer.transport.get_write_buffer_size() > _BACKLOG:
                listeners.discard(tell)
                writer.close()
            else:
                writer.write(protocol.line(state=as_dict(status)))

        listeners.add(tell)
        return tell

    async def _answer(self, request: protocol.Request, writer: asyncio.StreamWriter) -> object:
        supervisor = self._supervisor
        match request:
            case protocol.StartRequest():
                tell = self._listener(writer)
                try:
                    if isinstance(request, protocol.RestartRequest):
                        names: object = await supervisor.restart(request)
                    else:
                        names = await supervisor.start(request)
                finally:
                    supervisor.listeners.discard(tell)
                return {"names": names, "services": self._statuses(request.specs)}
            case protocol.StopRequest():
                return await supervisor.stop(request.names, request.caller, force=request.force)
            case protocol.ReleaseRequest():
                await supervisor.give_back(request.lease)
                return None
            case protocol.StatusRequest():
                return self._statuses(request.specs)
            case protocol.WaitRequest():
                await supervisor.wait(request)
                return self._statuses()
            case _:
                return self._statuses()

    def _statuses(self, declared: Iterable[ServiceSpec] = ()) -> list[dict[str, object]]:
        return [as_dict(self._supervisor.status(name, declared)) for name in self._supervisor.services]
