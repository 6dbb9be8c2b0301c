from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from esker.errors import HostError, ServiceError
from esker.services.specification import CheckSpec
from esker.services.supervised.probe import expand, local_port, pattern, prepare


def attempt(form, *target, variables=None, directory="/", run=None):
    """Make one attempt at a check."""
    check = CheckSpec(form=form, target=target)
    made = prepare(check, variables or {}, directory, run)
    return asyncio.run(asyncio.wait_for(made(), 10))


@contextmanager
def server(answer=None, *, family=socket.AF_INET, address=("127.0.0.1", 0)):
    """A server that takes connections one by one and gives each `answer`; yields its socket's name and the requests."""
    requests = []
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    if answer is not None:
                        requests.append(connection.recv(4096))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname(), requests
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def closed_port():
    """A port that nobody listens on while it is held."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_variables_are_expanded():
    """`$NAME` and `${NAME}` are replaced, `$$` is a dollar, and a dollar before anything else stays."""
    assert expand("$A-${B}:$$A ready$ $(x)", {"A": "1", "B": "2"}) == "1-2:$A ready$ $(x)"
    with pytest.raises(ServiceError, match=r"uses `\$PGPORT`, which is not set"):
        expand("localhost:$PGPORT", {})


def test_tcp(closed_port):
    """A port that takes connections is healthy, by address, by name and by variable; else the reason is given."""
    with server() as ((_, port), _):
        assert attempt("tcp", f"127.0.0.1:{port}") is None
        assert attempt("tcp", "localhost:$PORT", variables={"PORT": str(port)}) is None
    assert attempt("tcp", f"127.0.0.1:{closed_port}") == f"`127.0.0.1:{closed_port}`: connection refused"


def test_tcp_localhost_is_ipv6_too():
    """A server that listens on ::1 alone is found as localhost and by its own address."""
    try:
        with server(family=socket.AF_INET6, address=("::1", 0)) as ((_, port, *_), _):
            assert attempt("tcp", f"localhost:{port}") is None
            assert attempt("tcp", f"[::1]:{port}") is None
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_unix(tmp_path):
    """A socket that takes connections is healthy, by a path from the project too; a missing one is not."""
    path = tmp_path / "s"
    assert attempt("unix", str(path)) == f"`{path}`: no such file or directory"
    with server(family=socket.AF_UNIX, address=str(path)):
        assert attempt("unix", str(path)) is None
        assert attempt("unix", "s", directory=str(tmp_path)) is None
    assert attempt("unix", str(path)) == f"`{path}`: connection refused"
    with pytest.raises(HostError, match="the system allows 107"):
        attempt("unix", "/" + "a" * 200)


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK", b"HTTP/1.0 204", b"HTTP/1.1 302 Found"])
def test_http_that_answers_well(line):
    """An answer from 200 to 399 is healthy; path, query and host are asked for as written."""
    with server(line + b"\r\n\r\n") as ((_, port), requests):
        assert attempt("http", "http://localhost:$P/a?b=c", variables={"P": str(port)}) is None
    assert requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: localhost:%d\r\n" % port)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "`http://127.0.0.1:PORT/` answered 503 Service Unavailable"),
        (b"HTTP/1.1 404\r\n\r\n", "`http://127.0.0.1:PORT/` answered 404"),
        (b"SSH-2.0-OpenSSH\r\n", "`127.0.0.1:PORT` does not speak HTTP"),
        (b"x" * 5000, "`127.0.0.1:PORT` does not speak HTTP"),
    ],
)
def test_http_that_does_not(answer, said):
    """Another answer is not healthy, and is told."""
    with server(answer) as ((_, port), _):
        assert attempt("http", f"http://127.0.0.1:{port}") == said.replace("PORT", str(port))


def test_http_refused(closed_port):
    """Nobody at the port is told as such."""
    assert attempt("http", f"http://127.0.0.1:{closed_port}/") == f"`127.0.0.1:{closed_port}`: connection refused"


@pytest.mark.parametrize(
    ("form", "target"),
    [
        ("tcp", "localhost"),
        ("tcp", "localhost:0"),
        ("tcp", "localhost:99999"),
        ("tcp", "localhost:http"),
        ("http", "https://localhost/"),
        ("http", "localhost:80"),
        ("http", "http://user@host/"),
    ],
)
def test_a_check_that_can_never_be_made_is_refused(form, target):
    """A check without an address is an error with a hint, not a service that never becomes healthy."""
    with pytest.raises(ServiceError, match="the health check") as caught:
        attempt(form, target)
    assert caught.value.hint


def test_commands():
    """Shell text goes to sh as it stands, words are expanded one by one, and a failure shows the last it said."""
    ran = []

    async def run(words):
        ran.append(words)
        return (0, "") if len(ran) < 3 else (2, "no response")

    variables = {"PGPORT": "5 6"}
    assert attempt("shell", "pg_isready -p $PGPORT", variables=variables, run=run) is None
    assert attempt("exec", "pg_isready", "-p", "$PGPORT", variables=variables, run=run) is None
    assert attempt("exec", "pg_isready", "-q", run=run) == "`pg_isready -q` exited with status 2: no response"
    assert attempt("shell", "pg_isready", run=run) == "`pg_isready` exited with status 2: no response"
    assert ran[:2] == [("sh", "-c", "pg_isready -p $PGPORT"), ("pg_isready", "-p", "5 6")]


def test_a_log_check_is_told_not_asked():
    """There is no attempt at a check of the log, but a pattern, in which variables are expanded."""
    check = CheckSpec(form="log", target=("listening on port $P$",))
    assert prepare(check, {"P": "1"}, "/", None) is None
    assert pattern(check, {"P": "1"}).search(b"now listening on port 1")
    assert not pattern(check, {"P": "1"}).search(b"listening on port 12")
    assert pattern(None, {}) is None
    assert pattern(CheckSpec(form="tcp", target=("a:1",)), {}) is None
    with pytest.raises(ServiceError, match=r"`\(` is not a regular expression"):
        pattern(CheckSpec(form="log", target=("(",)), {})


@pytest.mark.parametrize(
    ("form", "target", "port"),
    [
        ("tcp", "127.0.0.1:$P", 1234),
        ("tcp", "[::1]:1234", 1234),
        ("http", "http://localhost:$P/health", 1234),
        ("http", "http://localhost/", 80),
        ("tcp", "0.0.0.0:1234", 1234),
        ("tcp", "db.example.org:1234", None),
        ("unix", "/x:1234", None),
        ("shell", "nc localhost 1234", None),
    ],
)
def test_ports_that_a_check_asks_on_this_machine(form, target, port):
    """A port of this machine that a check asks is known, so that it can be tested for being free."""
    assert local_port(CheckSpec(form=form, target=(target,)), {"P": "1234"}) == port


def test_no_check_asks_no_port():
    """A service without a check asks nobody."""
    assert local_port(None, {}) is None


@pytest.mark.slow
def test_a_name_service_that_does_not_answer_keeps_nobody(monkeypatch):
    """A check gives up when its time is over, and then the supervisor can end: it does not wait for the answer."""
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: gate.wait(10) and [])
    ask = prepare(CheckSpec(form="tcp", target=("db.invalid:1",)), {}, "/", None)

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(), 0.05)

    begun = time.monotonic()
    asyncio.run(main())
    took = time.monotonic() - begun
    gate.set()
    assert took < 5
