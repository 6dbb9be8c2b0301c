"""Ports that lead elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading

import pytest

from esker.errors import HostError, TimedOut, UsageError
from esker.ship.ci.forward import Forward, forward, parse


@pytest.fixture
def echo():
    """Give a socket on 127.0.0.2 that accepts connections."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        yield listener


def serve(listener):
    """Answer with what was sent, in capitals, once the sender has ended."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(received(connection).upper())


def received(connection):
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def test_a_port_leads_elsewhere(echo):
    """Both directions are passed on, and each ends by itself; connections one after the other and side by side."""
    port = free_port()
    pid = forward([Forward(port, "127.0.0.2", echo.getsockname()[1])], 5)
    threading.Thread(target=serve, args=(echo,), daemon=True).start()  # after the fork, which wants no other thread
    try:
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
            for number, connection in enumerate(connections):
                connection.sendall(b"hello %d" % number * 5000)
                connection.shutdown(socket.SHUT_WR)
            for number, connection in enumerate(connections):
                assert received(connection) == b"HELLO %d" % number * 5000
    finally:
        echo.shutdown(socket.SHUT_RDWR)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_target_that_does_not_answer():
    """The error names the host and what the machine said."""
    with pytest.raises(TimedOut, match="does not accept a connection"):
        forward([Forward(free_port(), "127.0.0.3", 1)], 0)


def test_a_port_that_is_taken(echo):
    """The error says which, and where it was to lead."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(HostError, match="cannot lead to"):
        forward([Forward(taken.getsockname()[1], "127.0.0.2", echo.getsockname()[1])], 5)


@pytest.mark.parametrize("word", ["", "1=a", "a=b:1", "0=a:1", "1=a:70000", "1=a b:1", "1=$(x):1", "1=a:1\n"])
def test_words_that_say_nothing(word):
    """They are refused before anything listens."""
    with pytest.raises(UsageError):
        parse(word)
