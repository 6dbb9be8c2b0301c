"""The conversation of a command with a supervisor: its greeting, one request, and what comes back."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

from esker.errors import ServiceError, TimedOut
from esker.host import pidfd
from esker.services import status
from esker.services.status import ServiceStatus
from esker.services.supervised import protocol

__all__ = ["ENDED", "GREETED", "Changed", "Connection", "dial", "not_started", "silent"]

GREETED = 10.0
"""Seconds until a supervisor must have greeted."""
ENDED = 12.0
"""Seconds until a guardian must have put everything in order: its grace and some."""

Changed = Callable[[ServiceStatus], object]


class Connection:
    """A conversation with a supervisor: one request, and what comes back."""

    def __init__(self, connection: socket.socket, *, advice: str | None = None) -> None:
        """Take over `connection` and hear the supervisor's greeting; raises ConnectionError when there is none.

        `advice` is the hint for a supervisor that says why it did not start, and not what to do.
        """
        self._socket = connection
        self._lines = connection.makefile("rb")
        self._guardian: int | None = None
        try:
            connection.settimeout(GREETED)
            self._greet(self._read() or {}, advice)
        except BaseException:
            self.close()
            raise

    def _greet(self, hello: Mapping[str, Any], advice: str | None) -> None:
        if not hello:
            raise ConnectionResetError
        self.supervisor: int = hello.get("supervisor", 0)
        self.guardian: int = hello.get("guardian", 0)
        if "error" in hello:
            with pidfd.opened(self.guardian) as guardian:
                if guardian is not None:
                    pidfd.wait(guardian, ENDED)
            raise not_started(hello["error"]["message"], hello["error"].get("hint") or advice)
        where = hello.get("source", "another place")
        remedy = f"the services are run by the Esker in `{where}`: use that, or `kill {self.supervisor}`"
        protocol.versions(hello, remedy)
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
            raise silent(self.supervisor) from None
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
        self._socket.settimeout(ENDED)
        while (message := self._read()) is not None and "ended" not in message:
            pass  # services that still stop
        if (message is None or message["ended"]) and self._guardian is not None:
            pidfd.wait(self._guardian, ENDED)

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


def dial(path: str) -> Connection:
    """Begin a conversation at the socket `path`; raises OSError where nobody answers."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(GREETED)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return Connection(connection)


def silent(supervisor: int) -> TimedOut:
    """Return the error of a supervisor that does not answer, given its pid."""
    return TimedOut(
        f"the supervisor of the services (pid {supervisor}) does not answer",
        hint=f"end it with `kill -9 {supervisor}`; the next command puts things in order",
    )


def not_started(reason: str, hint: str | None) -> ServiceError:
    """Return the error of a supervisor that did not start."""
    return ServiceError(f"the supervisor of the services did not start: {reason}", hint=hint)
