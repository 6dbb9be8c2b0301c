"""HTTP for what talks to one server for a while: connections that stay open, bodies from files, answers in pieces.

    with Connection("https://files.example") as connection:
        answer = connection.request("GET", "/v2/", {"Accept": "*/*"})

No redirect is followed and nothing is tried again: whoever asks knows which requests may be repeated, and where its
credentials may go. The proxy for https is that of HTTPS_PROXY and NO_PROXY; plain http goes to the server itself.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from typing import IO, TYPE_CHECKING, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from esker.errors import HostError
from esker.formats.urls import redact
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from http.client import HTTPResponse
    from types import TracebackType
    from urllib.parse import SplitResult

__all__ = ["Answer", "Connection", "FilePart", "is_loopback"]

_PATIENCE = 60
"""Seconds without a byte."""
_CHUNK = 1 << 20
_PORTS = {"http": 80, "https": 443}


class FilePart(NamedTuple):
    """Bytes of a file, as the body of a request."""

    path: str
    start: int
    size: int


class Answer(NamedTuple):
    """What a server has answered."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    """Empty if the caller took it in pieces."""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("127.files.example")
    (True, True, False)
    """
    import ipaddress

    host = host.removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class Connection:
    """A connection to an origin such as `https://files.example:8443`; it is opened when it is needed."""

    def __init__(self, origin: str, *, patience: float = _PATIENCE) -> None:
        parts = urlsplit(origin)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise HostError(f"`{redact(origin)}` cannot be reached: only https and http can")
        self.origin = origin
        self._scheme, self._host = parts.scheme, parts.hostname
        try:
            self._port = parts.port or _PORTS[parts.scheme]
        except ValueError as error:
            raise HostError(f"`{redact(origin)}` is no address: {error}") from error
        self._patience = patience
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._is_interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def interrupt(self) -> None:
        """Let the request that another thread waits for fail at once, and each later one."""
        self._is_interrupted = True
        if self._socket is not None:
            with suppress(OSError):  # it has ended meanwhile
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not TLS's, which would wait for the server

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | FilePart | None = None,
        *,
        take: Callable[[bytes], object] | None = None,
        limit: int = 64 << 20,
    ) -> Answer:
        """Send a request and return the answer; raises HostError if none comes, and what `take` raises.

        If the answer's status is 200 or 206 and there is a function `take`, it gets the body in pieces. Other bodies
        may have `limit` bytes.
        """
        data = b""
        try:
            with self._reaching():
                answer = self._sent(method, target, headers, body)
                is_taken = take is not None and answer.status in {200, 206} and method != "HEAD"
                if not is_taken:
                    data = _whole(answer, limit)
            if take is not None and is_taken:
                self._give(answer, take)
        except BaseException:
            self.close()  # the rest of the body would be taken for the next answer
            raise
        fields = {name.lower(): value for name, value in answer.getheaders()}
        if answer.will_close:
            self.close()
        return Answer(answer.status, fields, data)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn what goes wrong with the server or on the way to it into HostError."""
        try:
            yield
        except (OSError, HTTPException, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise HostError(
                f"`{redact(self.origin)}` could not be reached: {redact(reason)}",
                hint="check the address, the network and the proxy (HTTPS_PROXY)",
            ) from error

    def _give(self, answer: HTTPResponse, take: Callable[[bytes], object]) -> None:
        """Give the body in pieces; what `take` raises is no fault of the server."""
        declared, size = answer.length, 0
        while True:
            with self._reaching():
                data = answer.read(_CHUNK)
                if not data and declared is not None and size != declared:
                    raise HTTPException(f"the answer ended after {size} of {declared} bytes")
            if not data:
                return
            size += len(data)
            take(data)

    def _sent(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | FilePart | None
    ) -> HTTPResponse:
        """Send the request; where a connection that was kept has ended meanwhile, on another one.

        A body is never sent twice: the server may have used a part of it.
        """
        was_kept = self._connection is not None
        if was_kept and self._has_ended():
            self.close()
        try:
            return self._sent_once(method, target, headers, body)
        except (BrokenPipeError, ConnectionResetError, RemoteDisconnected):
            self.close()
            if not was_kept or method not in {"GET", "HEAD"}:
                raise
            return self._sent_once(method, target, headers, body)

    def _has_ended(self) -> bool:
        """Return whether the server has closed a connection that waits, or sent something that nobody asked for."""
        assert self._connection is not None
        sock = self._connection.sock
        return sock is None or bool(select.select([sock], [], [], 0)[0])

    def _sent_once(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | FilePart | None
    ) -> HTTPResponse:
        connection = self._opened()
        size = 0 if body is None else len(body) if isinstance(body, bytes) else body.size
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None or method in {"POST", "PUT", "PATCH"}:
            connection.putheader("Content-Length", str(size))
        try:
            connection.endheaders(body if isinstance(body, bytes) else None)
            if isinstance(body, FilePart) and body.size:
                with _opened(body.path) as file:
                    if connection.sock.sendfile(file, body.start, body.size) != body.size:
                        raise HTTPException(f"`{body.path}` ends too early")
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses a large body says so and closes; the answer may be here already.
            with suppress(OSError, HTTPException):
                answer = connection.getresponse()
                answer.will_close = True
                return answer
            raise
        return connection.getresponse()

    def _opened(self) -> HTTPConnection:
        if self._connection is not None:
            return self._connection
        if self._is_interrupted:
            raise HTTPException("it was interrupted")
        proxy = self._proxy()
        host, port = (proxy.hostname, proxy.port or _PORTS["http"]) if proxy else (self._host, self._port)
        assert host is not None
        authorization = _proxy_authorization(proxy.netloc) if proxy else {}
        connection: HTTPConnection
        if self._scheme == "https":
            import ssl

            from esker.host.certificates import certificate_bundle

            bundle = os.environ.get("SSL_CERT_FILE") or certificate_bundle()
            context = ssl.create_default_context(cafile=bundle)
            connection = HTTPSConnection(host, port, timeout=self._patience, context=context, blocksize=_CHUNK)
            if proxy:
                connection.set_tunnel(self._host, self._port, headers=authorization)
        else:
            connection = HTTPConnection(host, port, timeout=self._patience, blocksize=_CHUNK)
        connection.connect()
        self._connection, self._socket = connection, connection.sock
        if self._is_interrupted:  # while it was being opened
            raise HTTPException("it was interrupted")
        return connection

    def _proxy(self) -> SplitResult | None:
        from urllib.request import getproxies, proxy_bypass

        if self._scheme == "http" or is_loopback(self._host) or proxy_bypass(self._host):
            return None
        address = getproxies().get("https")
        return urlsplit(address if "://" in address else f"http://{address}") if address else None


def _opened(path: str) -> IO[bytes]:
    """Open a file to be sent; raises HostError, which does not speak of the server."""
    with files.refused("read", path):
        return open(path, "rb")


def _whole(answer: HTTPResponse, limit: int) -> bytes:
    data = answer.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it answers with more than {limit >> 20} MiB")
    answer.read()
    return data


def _proxy_authorization(netloc: str) -> dict[str, str]:
    import base64

    account, at, _ = netloc.rpartition("@")
    if not at:
        return {}
    return {"Proxy-Authorization": f"Basic {base64.b64encode(unquote(account).encode()).decode()}"}
