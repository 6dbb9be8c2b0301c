"""A session of the `esker` command that serves one run of pytest: requests and replies are lines of JSON.

`docs/reference/testing.md` describes the protocol.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress

from esker_pytest.errors import SessionEnded, error_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["PROTOCOL", "Session"]

PROTOCOL = 1
"""The version of the protocol that this package speaks."""
_END_SECONDS = 15.0
"""Seconds that the command may take to stop services after its last request."""
_SHOWN = 10
"""Lines of the command's own output in an error."""


class Session:
    """The process that serves our requests; it ends with this process at the latest."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start the command; raise SessionEnded if that fails."""
        self._command = command
        self._lock = threading.Lock()
        self._number = 0
        self._owner = os.getpid()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the session
        self._shown = 0
        argv = [*command, "testing", "--protocol", str(PROTOCOL), "--pid", str(self._owner)]
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._output)
        except OSError as refusal:
            self._output.close()
            message = f"`{command[0]}` cannot be started: {(refusal.strerror or str(refusal)).lower()}"
            raise SessionEnded({"code": "host", "message": message, "hint": _HINT}) from None

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and return its reply; raise the error that the command reports."""
        with self._lock:
            self._number += 1
            request = {"id": self._number, "do": do, **arguments}
            try:
                reply = self._exchanged(json.dumps(request).encode() + b"\n")
            finally:
                self._show_output()
        if "error" in reply:
            raise error_of(reply["error"])
        return reply

    def _exchanged(self, request: bytes) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
            while line := self._process.stdout.readline():
                reply: dict[str, Any] = json.loads(line)
                if reply["id"] == self._number:  # the one before may be of a request whose wait was interrupted
                    return reply
        except (BrokenPipeError, ValueError):
            pass  # told below
        raise self._ended()

    def _ended(self) -> SessionEnded:
        """Return the error for a command that does not answer, with the end of what it has printed."""
        status = self._wait()
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        self._output.seek(0)
        printed = self._output.read().decode(errors="replace").splitlines()[-_SHOWN:]
        message = f"the Esker that serves the tests (`{' '.join(self._command)}`) has ended with {how}"
        hint = _HINT if status > 0 else "run the tests again"
        text = "\n".join([message, *(f"  {line}" for line in printed), f"hint: {hint}"])
        return SessionEnded({"code": "host", "message": message, "hint": hint, "text": text})

    def _show_output(self) -> None:
        """Print what hooks have printed since the last request, so that pytest captures it with the test."""
        self._output.seek(self._shown)
        printed = self._output.read()
        self._shown += len(printed)
        if printed and sys.stderr is not None:
            sys.stderr.write(printed.decode(errors="replace"))

    def end(self) -> None:
        """End the command; without a `close` before, it stops what nobody else uses by itself."""
        if os.getpid() != self._owner:  # a child that a test has forked
            return
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self._wait()
        self._output.close()

    def _wait(self) -> int:
        """Return the exit status of the command, which ends if it does not end by itself."""
        try:
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


_HINT = "install the Esker that has locked the project, or name it in ESKER_COMMAND"
