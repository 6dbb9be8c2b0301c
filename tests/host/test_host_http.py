"""Connections to one server: what is kept open, what is sent again, and what an answer may not do."""

from __future__ import annotations

import errno
import socket
import threading
from contextlib import ExitStack, suppress

import pytest

from esker.errors import HostError
from esker.host.http import Connection, FilePart


class Server:
    """A server that answers each request with the next of its answers, over one connection after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        """Answer no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with connection, connection.makefile("rb") as reading, suppress(OSError):
                while request := self._request(reading):
                    self.requests.append(request)
                    answer = self.answers.pop(0) if self.answers else None
                    if answer is None:
                        break
                    connection.sendall(answer)
                    if b"\r\nConnection: close" in answer or b"GOODBYE" in answer:
                        break

    def _request(self, reading):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reading.readline()
            if not line:
                return None
            head += line
        size = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
        return head + reading.read(size)


@pytest.fixture
def serve():
    """Give a function that makes a server, and a connection to it."""
    with ExitStack() as stack:

        def made(*answers):
            server = Server(*answers)
            stack.callback(server.close)
            return server, stack.enter_context(Connection(server.origin, patience=5))

        yield made


def answer(body=b"", status="200 OK", more=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def test_several_requests_go_over_one_connection(serve):
    """It stays open, and each answer belongs to its request."""
    server, connection = serve(answer(b"one", more="X-A: b\r\n"), answer(b"", "404 Not Found"), answer(b"three"))
    first = connection.request("GET", "/1", {"Accept": "x"})
    assert (first.status, first.body, first.headers["x-a"]) == (200, b"one", "b")
    assert connection.request("HEAD", "/2", {}).status == 404
    assert connection.request("GET", "/3", {}).body == b"three"
    assert server.connections == 1
    assert b"Accept: x\r\n" in server.requests[0]


def test_a_body_comes_from_a_part_of_a_file(serve, tmp_path):
    """Its length is announced."""
    (tmp_path / "file").write_bytes(b"0123456789")
    server, connection = serve(answer())
    connection.request("PUT", "/", {}, FilePart(str(tmp_path / "file"), 3, 4))
    assert server.requests[0].endswith(b"\r\n\r\n3456")
    assert b"Content-Length: 4\r\n" in server.requests[0]


def test_a_file_that_is_too_short_is_an_error(serve, tmp_path):
    """The server would wait for the rest."""
    (tmp_path / "file").write_bytes(b"01")
    _, connection = serve(answer())
    with pytest.raises(HostError, match="ends too early"):
        connection.request("PUT", "/", {}, FilePart(str(tmp_path / "file"), 0, 4))


def test_a_connection_that_has_ended_is_opened_again(serve):
    """A server closes what nobody uses for a while, and no caller has to know."""
    server, connection = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nGOODBYE", answer(b"two"))
    assert connection.request("GET", "/1", {}).body == b"GOODBYE"
    while server.connections == 1 and connection._connection is not None and not connection._has_ended():
        pass  # the end of the connection is on its way
    assert connection.request("PUT", "/2", {}, b"body").body == b"two"
    assert server.connections == 2
    assert len(server.requests) == 2


def test_a_body_is_never_sent_twice(serve):
    """The server may have used a part of it."""
    server, connection = serve(answer(), None)
    connection.request("GET", "/1", {})
    with pytest.raises(HostError, match="could not be reached"):
        connection.request("PUT", "/2", {}, b"body")
    assert len(server.requests) == 2


def test_what_only_reads_is_sent_again(serve):
    """If a connection that was kept ends without an answer."""
    server, connection = serve(answer(), None, answer(b"again"))
    connection.request("GET", "/1", {})
    assert connection.request("GET", "/2", {}).body == b"again"
    assert len(server.requests) == 3


def test_a_server_that_says_nothing_is_named(serve):
    """The first request of a connection is not sent again."""
    server, connection = serve(None)
    with pytest.raises(HostError, match=f"`{server.origin}` could not be reached") as caught:
        connection.request("GET", "/", {})
    assert "HTTPS_PROXY" in caught.value.hint


def test_a_large_answer_comes_in_pieces(serve):
    """The function gets all of it, and an answer that is no success is returned whole."""
    body = bytes(range(256)) * 10000
    _, connection = serve(answer(body), answer(b"no", "404 Not Found"))
    pieces = []
    assert connection.request("GET", "/", {}, take=pieces.append).body == b""
    assert b"".join(pieces) == body
    assert connection.request("GET", "/", {}, take=pieces.append).body == b"no"


def test_an_answer_that_ends_too_early_is_an_error(serve):
    """Both in pieces and as a whole."""
    for take in (None, lambda _: None):
        _, connection = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nGOODBYE")
        with pytest.raises(HostError, match="could not be reached"):
            connection.request("GET", "/", {}, take=take)


def test_an_answer_that_is_too_large_is_an_error(serve):
    """It is not kept in memory."""
    _, connection = serve(answer(b"x" * (2 << 20)))
    with pytest.raises(HostError, match="answers with more than 1 MiB"):
        connection.request("GET", "/", {}, limit=1 << 20)


def test_after_an_error_of_the_caller_nothing_is_left_on_the_connection(serve):
    """The rest of an answer is not taken for the next one."""

    def refuse(_):
        raise RuntimeError("enough")

    server, connection = serve(answer(b"x" * 100), answer(b"next"))
    with pytest.raises(RuntimeError, match="enough"):
        connection.request("GET", "/", {}, take=refuse)
    assert connection.request("GET", "/", {}).body == b"next"
    assert server.connections == 2


@pytest.mark.parametrize("origin", ["ftp://files.example", "files.example", "https://", "https://files.example:x"])
def test_what_is_no_origin_is_refused(origin):
    """Only https and http have one."""
    with pytest.raises(HostError):
        Connection(origin)


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y"])
def test_a_target_that_is_more_than_one_line_is_refused(serve, target):
    """A server's own address cannot add headers to the next request."""
    server, connection = serve(answer())
    with pytest.raises(HostError):
        connection.request("GET", target, {})
    assert server.requests == []


def test_what_the_caller_cannot_keep_is_no_fault_of_the_server(serve):
    """A full disk is told as such, and not as a server that could not be reached."""

    def full(_):
        raise OSError(errno.ENOSPC, "no space left on device")

    _, connection = serve(answer(b"x" * 100))
    with pytest.raises(OSError, match="no space left on device"):
        connection.request("GET", "/", {}, take=full)


def test_a_file_that_cannot_be_sent_is_no_fault_of_the_server(serve, tmp_path):
    """The error names the file."""
    _, connection = serve()
    with pytest.raises(HostError, match=f"^cannot read `{tmp_path}/missing`"):
        connection.request("PUT", "/", {}, FilePart(str(tmp_path / "missing"), 0, 4))


def test_a_request_is_interrupted(serve):
    """Another thread ends one that nobody answers; the connection then takes no further one."""
    server, connection = serve(b"")
    interrupter = threading.Thread(target=lambda: _asked(server) and connection.interrupt())
    interrupter.start()
    with pytest.raises(HostError, match="could not be reached"):
        connection.request("GET", "/", {})
    interrupter.join()
    with pytest.raises(HostError, match="it was interrupted"):
        connection.request("GET", "/", {})
    assert server.connections == 1


def _asked(server):
    while not server.requests:
        pass
    return True
