"""A command's connection to a supervisor: the greeting, one request, and the replies."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from esker.errors import ServiceError, SupervisorEnded, TimedOut
from esker.host import pidfd, process_id, process_table
from esker.services import received, status
from esker.services.supervised import protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.services.chamber import Changed
    from esker.services.status import ServiceStatus

__all__ = ["END_SECONDS", "GREETING_SECONDS", "Connection", "dial", "no_answer", "not_started"]

GREETING_SECONDS = 10.0
"""Seconds within which a supervisor must greet us."""
END_SECONDS = 12.0
"""Seconds within which a guardian must have cleaned up: a little more than its grace for processes."""


class Connection:
    """A connection to a supervisor, for one request and its replies."""

    def __init__(self, connection: socket.socket, *, advice: str | None = None, by_guardian: bool = False) -> None:
        """Take over `connection` and read the supervisor's greeting.

        `advice` is the hint of the error if the supervisor could not start and sends no hint of its own. Nobody waits
        for the end of the guardian if we are one of its processes (`by_guardian`), because it waits for us. Raises
        ConnectionError if the supervisor closes without a greeting.
        """
        self._socket = connection
        self._lines = connection.makefile("rb")
        self._guardian: int | None = None
        self._by_guardian = by_guardian
        try:
            connection.settimeout(GREETING_SECONDS)
            self._greet(self._read() or {}, advice)
        except BaseException:
            self.close()
            raise

    def _greet(self, hello: Mapping[str, Any], advice: str | None) -> None:
        if not hello:
            raise ConnectionResetError
        with protocol.understood():
            # The greeting of a supervisor that did not start may lack its pid.
            error = protocol.error_of(hello["error"]) if "error" in hello else None
            own = 0 if error and "supervisor" not in hello else received.pid(hello.get("supervisor"))
            self.supervisor: int = own
            self.guardian: int = received.pid(hello.get("guardian"))
            self.grace: float = min(received.value("float", hello.get("grace", 0.0), {}), protocol.ENDLESS)
            where = received.text(hello.get("source", "another place"))
        if error:
            with pidfd.opened(self.guardian) as guardian:
                if guardian is not None:
                    pidfd.wait(guardian, END_SECONDS)
            raise not_started(error.message, error.hint or advice)
        end = f", or end them with `kill {self.supervisor}`" if process_id.is_ours(self.supervisor) else ""
        remedy = f"the Esker in `{where}` runs these services: use that one{end}"
        protocol.versions(hello, remedy)
        self._guardian = None if self._by_guardian else pidfd.open_process(self.guardian)

    def _read(self) -> dict[str, Any] | None:
        line = self._lines.readline(protocol.LIMIT + 1)
        if len(line) > protocol.LIMIT:
            raise ServiceError("the supervisor of the services sent a message that is too long")
        return protocol.parse_message(line) if line.endswith(b"\n") else None

    def ask(self, request: protocol.Request, seconds: float | None, changed: Changed | None = None) -> Any:
        """Send `request` and return its result; call `changed` for each service that changes meanwhile.

        If no service is left to run, return only after the supervisor has ended and its guardian has cleaned up.
        Raises the error that the supervisor sends, and TimedOut if the supervisor sends nothing for `seconds`.
        """
        try:
            with self:
                self._socket.settimeout(seconds)
                with suppress(ConnectionError):  # what it has said before it closed is still to be read
                    self._socket.sendall(protocol.request_line(request))
                while (message := self._read()) is not None:
                    if "state" in message:
                        if changed:
                            with protocol.understood():
                                state = status.parse(message["state"])
                            changed(state)
                        continue
                    if message.get("ending"):
                        self._await_end()
                    if "error" in message:
                        with protocol.understood():
                            error = protocol.error_of(message["error"])
                        raise error
                    return message.get("result")
        except TimeoutError:
            raise no_answer(self.supervisor) from None
        except ConnectionError:
            pass
        raise ServiceError("the supervisor of the services was killed", hint="the next command cleans up what it left")

    def changes(self) -> Iterator[ServiceStatus]:
        """Yield the state of each service, and then each changed state, until the supervisor ends."""
        with self, suppress(ConnectionError):
            self._socket.settimeout(None)
            self._socket.sendall(protocol.request_line(protocol.WatchRequest()))
            while (message := self._read()) is not None and "error" not in message:
                with protocol.understood():
                    state = status.parse(message.get("state"))
                yield state
            if message is not None:
                with protocol.understood():
                    error = protocol.error_of(message["error"])
                if not isinstance(error, SupervisorEnded):
                    raise error

    def _await_end(self) -> None:
        """Wait until the supervisor says whether it has ended; if it has, wait for its guardian too."""
        self._socket.settimeout(END_SECONDS)
        while (message := self._read()) is not None and "ended" not in message:
            pass  # states of services that are still being stopped
        if (message is None or message["ended"]) and self._guardian is not None:
            pidfd.wait(self._guardian, END_SECONDS)

    def abort(self) -> None:
        """Close the connection from another thread; a thread that waits in `ask` then gets an error."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, which cancels a request that has no answer yet."""
        self._lines.close()
        self._socket.close()
        if self._guardian is not None:
            os.close(self._guardian)
            self._guardian = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def dial(path: str, *, by_guardian: bool = False) -> Connection:
    """Return a connection to the supervisor at the socket `path`; raise OSError if none listens there."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(GREETING_SECONDS)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return Connection(connection, by_guardian=by_guardian)


def no_answer(supervisor: int) -> TimedOut:
    """Return the error for a supervisor (its pid) that does not answer; only a process of ours may be ended."""
    if not process_id.is_ours(supervisor):
        return TimedOut(
            f"the supervisor of the services (said to be pid {supervisor}) does not answer",
            hint="that process is not yours, so leave it alone; run the command again later",
        )
    end = f"end it with `kill -9 {supervisor}`; the next command cleans up what it left"
    if (process := process_table.entry(supervisor)) and process.stopped:
        return TimedOut(
            f"the supervisor of the services (pid {supervisor}) is stopped and does not answer",
            hint=f"resume it with `kill -CONT {supervisor}`, or {end}",
        )
    return TimedOut(f"the supervisor of the services (pid {supervisor}) does not answer", hint=end)


def not_started(reason: str, hint: str | None) -> ServiceError:
    """Return the error for a supervisor that did not start."""
    return ServiceError(f"the supervisor of the services did not start: {reason}", hint=hint)
