"""The supervisor's process: its socket, what it is asked there, and its end.

It ends when nothing runs and nobody asks for anything. That is decided under the record's flock, which whoever
looks for a supervisor holds until this one has greeted it, so nobody ever meets one that is about to go.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import traceback
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from esker.errors import EskerError, HostError, ServiceError
from esker.host import files, prctl, process_id, runtime_directory
from esker.host.background import SOURCE
from esker.services.supervised import protocol
from esker.services.supervised.supervisor import Supervisor
from esker.services.supervised.supervisor_record import RecordFile, SupervisorRecord, record_path

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from esker.services.status import ServiceStatus

__all__ = ["main"]

_RETRY = 0.02
_RETRIES = 50
_BACKLOG = 1 << 20
"""Bytes that a listener may be behind before it is given up."""
_PATIENCE = 60.0
"""Seconds until a client must have said what it wants."""
_WATCH = 30.0
"""Seconds between looks whether the environment still exists."""


def main(guardian: int, arguments: list[str]) -> int:
    """Supervise until nothing is left to do; return 0 when all was put in order.

    Arguments: the control socket, the runtime directory, the directory of logs, the `.flox`, and the descriptor of a
    connection whose other end is the process that started us.
    """
    path, runtime, logs, dot_flox, descriptor = arguments
    first = socket.socket(fileno=int(descriptor))
    first.set_inheritable(False)
    os.umask(0o077)
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("esker-services")
    prctl.become_subreaper()
    try:
        prctl.end_with_parent(signal.SIGTERM, guardian)
    except ProcessLookupError:
        return 1  # it was killed before we could hear of it
    try:
        asyncio.run(_serve(first, guardian, path=path, runtime=runtime, logs=logs, dot_flox=dot_flox))
    except (EskerError, OSError) as error:  # a full disk keeps no log: who started us is told, if it still listens
        refusal = error if isinstance(error, EskerError) else HostError((error.strerror or str(error)).lower())
        with suppress(OSError):
            first.sendall(protocol.line(error=refusal.record(), guardian=guardian))
        raise
    return 0


async def _serve(first: socket.socket, guardian: int, *, path: str, runtime: str, logs: str, dot_flox: str) -> None:
    runtime_directory.make(runtime)  # here, so that nobody who is killed on the way to us leaves it behind
    with files.refused("lock", record_path(dot_flox)):
        record_file = RecordFile(dot_flox)
    record = _record(guardian, path, dot_flox)
    server = _Server(record_file, record, runtime=runtime, logs=logs)
    os.umask(0o177)
    with files.refused("listen on", path):
        with suppress(FileNotFoundError):
            os.unlink(path)
        listening = await asyncio.start_unix_server(server.connected, path, limit=protocol.LIMIT)
    os.umask(0o077)
    with files.refused("write", record_file.path):
        record_file.write(record)
    await server.run(*await asyncio.open_connection(sock=first, limit=protocol.LIMIT))
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
    """Return the line that a client sends, nothing when it says nothing: nobody keeps us by being silent."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await reader.readline()
    except TimeoutError:
        return b""
    except ValueError:  # longer than any request
        return b"\n"


class _Server:
    """All who talk to the supervisor, and when it may end."""

    def __init__(self, record_file: RecordFile, record: SupervisorRecord, *, runtime: str, logs: str) -> None:
        self._record_file = record_file
        self._record = record
        self._supervisor = Supervisor(record_file, record, runtime=runtime, logs=logs, released=self._consider_end)
        self._inode = os.stat(record.dot_flox).st_ino
        self._busy: set[asyncio.Task[None]] = set()
        """Conversations that have not come to their answer."""
        self._lingering: set[asyncio.StreamWriter] = set()
        """Those that wait to hear whether this is the end."""
        self._told_to_end = False
        self._end = asyncio.Event()

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve, beginning with the process that started us, until it is time to end and all has stopped."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._be_told_to_end)
        loop.call_later(_WATCH, self._watch)
        await self.connected(reader, writer)
        await self._end.wait()
        await self._supervisor.stop_all()
        if self._busy:
            await asyncio.wait(self._busy)
        for _ in range(_RETRIES if self._told_to_end else 0):
            if self._record_file.try_acquire():
                break  # nobody looks for us; who does so for longer sees that we have ended
            await asyncio.sleep(_RETRY)

    def give_back(self) -> None:
        """Let the store paths of the services be collected: everything has stopped."""
        self._supervisor.store_paths.give_back()

    async def say_goodbye(self) -> None:
        """Tell those who wait for it that this was the end."""
        for writer in self._lingering:
            writer.write(protocol.line(ended=True))
            with suppress(ConnectionError):
                await writer.drain()
            writer.close()

    def _be_told_to_end(self) -> None:
        self._told_to_end = True
        for task in self._busy:
            task.cancel()
        self._end.set()

    def _watch(self) -> None:
        """End when the environment was removed: nobody could find us any more."""
        try:
            gone = os.stat(self._record.dot_flox).st_ino != self._inode
        except OSError:
            gone = True
        if gone:
            self._be_told_to_end()
        else:
            asyncio.get_running_loop().call_later(_WATCH, self._watch)

    def _consider_end(self) -> None:
        """End if nothing runs and nobody asks, unless somebody is looking for us at this moment."""
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
        """Begin a conversation."""
        supervisor, guardian = self._record.supervisor.pid, self._record.guardian.pid
        hello = {protocol.KEY: protocol.VERSION, "source": SOURCE, "supervisor": supervisor, "guardian": guardian}
        writer.write(protocol.line(**hello))
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
            if isinstance(request, protocol.Watch):
                tell = self._listener(writer)
                for name in self._supervisor.services:
                    tell(self._supervisor.status(name))
                return
            reply = {"result": await self._while_connected(reader, self._answer(request, writer))}
        except EskerError as error:
            reply = {"error": error.record()}
        except asyncio.CancelledError:
            hint = "somebody ended it or its guardian: start them again"
            reply = {"error": ServiceError("the supervisor of the services was ended", hint=hint).record()}
        except ConnectionError:
            writer.close()
            return
        except Exception as error:  # noqa: BLE001  (a fault of ours: its place goes to supervisor.log, and nobody waits)
            traceback.print_exc()
            reply = {"error": ServiceError(f"the supervisor met a fault: {error!r}").record()}
        ending = self._told_to_end or (self._supervisor.idle and len(self._busy) == 1)
        writer.write(protocol.line(**reply, ending=ending))
        if ending:
            self._lingering.add(writer)
        else:
            writer.close()

    async def _while_connected(self, reader: asyncio.StreamReader, answer: Coroutine[object, object, object]) -> object:
        """Return the answer, unless the client goes away first: then nobody wants it any more."""
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
        """Tell the other side of each change until it goes away."""
        listeners = self._supervisor.listeners

        def tell(status: ServiceStatus) -> None:
            if writer.is_closing() or writer.transport.get_write_buffer_size() > _BACKLOG:
                listeners.discard(tell)
                writer.close()
            else:
                writer.write(protocol.line(state=asdict(status)))

        listeners.add(tell)
        return tell

    async def _answer(self, request: protocol.Request, writer: asyncio.StreamWriter) -> object:
        supervisor = self._supervisor
        match request:
            case protocol.Start():
                tell = self._listener(writer)
                try:
                    if isinstance(request, protocol.Restart):
                        done: object = await supervisor.restart(request)
                    else:
                        done = await supervisor.start(request)
                finally:
                    supervisor.listeners.discard(tell)
                return {"names": done, "services": self._statuses()}
            case protocol.Stop():
                return await supervisor.stop(request.names, request.caller)
            case protocol.Release():
                await supervisor.give_back(request.lease)
                return None
            case protocol.Wait():
                await supervisor.wait(request)
                return self._statuses()
            case _:
                return self._statuses()

    def _statuses(self) -> list[dict[str, object]]:
        return [asdict(self._supervisor.status(name)) for name in self._supervisor.services]
