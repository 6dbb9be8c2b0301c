"""Ports of this machine that lead elsewhere, for as long as a job lasts.

GitLab gives each service container of a job a host name of its own, while the project's declaration says where services
are on a developer's machine: at a port of the loopback. A process in the background joins the two.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import HostError, TimedOut, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Forward", "forward", "parse"]

_WORD = re.compile(r"(?P<port>[0-9]{1,5})=(?P<host>[A-Za-z0-9_.-]+):(?P<target>[0-9]{1,5})")
_PAUSE = 0.1
_BLOCK = 1 << 16
_LAST_PORT = 65535


class Forward(NamedTuple):
    """A port of this machine, and where it leads."""

    port: int
    host: str
    target: int


def parse(word: str) -> Forward:
    """Return what `PORT=HOST:PORT` says; raises UsageError.

    >>> parse("5432=postgres:5432")
    Forward(port=5432, host='postgres', target=5432)
    """
    match = _WORD.fullmatch(word)
    if match is None or not all(0 < int(match[each]) <= _LAST_PORT for each in ("port", "target")):
        raise UsageError(f"`{word}` does not say where a port leads", hint="write PORT=HOST:PORT: 5432=postgres:5432")
    return Forward(int(match["port"]), match["host"], int(match["target"]))


def forward(ports: Sequence[Forward], patience: float) -> int:
    """Wait until each target accepts a connection, and leave a process behind that serves the ports; return its pid.

    Raises TimedOut after `patience` seconds, and HostError if a port of this machine is taken.
    """
    deadline = time.monotonic() + patience
    for each in ports:
        _wait(each, deadline)
    listening = [_listener(each) for each in ports]
    pid = os.fork()
    if pid:
        for listener in listening:
            listener.close()
        return pid
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):  # or whoever reads our output would wait for its end
        os.dup2(null, standard)
    serving = [threading.Thread(target=_serve, args=pair) for pair in zip(listening, ports, strict=True)]
    for thread in serving:
        thread.start()
    for thread in serving:
        thread.join()
    os._exit(0)


def _wait(to: Forward, deadline: float) -> None:
    while True:
        try:
            socket.create_connection((to.host, to.target), timeout=1).close()
        except OSError as refusal:
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"`{to.host}` does not accept a connection at port {to.target}: {refusal.strerror or refusal}",
                    hint="look at the log of that service in the job",
                ) from refusal
            time.sleep(_PAUSE)
        else:
            return


def _listener(to: Forward) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", to.port))
    except OSError as refusal:
        raise HostError(
            f"port {to.port} of this machine cannot lead to `{to.host}`: {(refusal.strerror or str(refusal)).lower()}",
            hint="end what listens there, or give the service another port in the Compose file",
        ) from refusal


def _serve(listener: socket.socket, to: Forward) -> None:
    while True:
        connection, _ = listener.accept()
        with suppress(OSError):
            target = socket.create_connection((to.host, to.target))
            for source, sink in ((connection, target), (target, connection)):
                threading.Thread(target=_copy, args=(source, sink), daemon=True).start()
            continue
        connection.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the source ends, and then end the sink in that direction."""
    with suppress(OSError):
        while data := source.recv(_BLOCK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
