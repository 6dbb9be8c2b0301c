"""HTTPS with a certificate of openssl's, directly and through a proxy."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from contextlib import suppress

import pytest

from esker.errors import HostError
from esker.host.http import Connection

pytestmark = pytest.mark.live("images")

NAME = "files.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Give the paths of a certificate for one name, and of its key."""
    directory = tmp_path_factory.mktemp("certificate")
    paths = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-addext", f"subjectAltName=DNS:{NAME}", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    return paths


class SecureProxy:
    """A server for https, and a proxy that leads every name to it."""

    def __init__(self, certificate):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.heads = []
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
            with connection, suppress(OSError):
                if connection.recv(1, socket.MSG_PEEK) == b"C":
                    self.heads.append(self._head(connection))
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    self.heads.append(self._head(secure))
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")

    def _head(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n") and (data := connection.recv(1)):
            head += data
        return head.decode()


@pytest.fixture
def server(certificate):
    server = SecureProxy(certificate)
    yield server
    server.close()


def test_https_through_a_proxy(server, certificate, monkeypatch):
    """The proxy learns the host and its own password; the request and its headers are for the server alone."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@127.0.0.1:{server.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    with Connection(f"https://{NAME}:8443", patience=10) as connection:
        answer = connection.request("GET", "/blob", {"Authorization": "Bearer x"})
    assert answer.body == b"secret"
    tunnel, request = server.heads
    assert tunnel.startswith(f"CONNECT {NAME}:8443 HTTP/1.")
    assert "Proxy-Authorization: Basic dXNlcjpwQHNz" in tunnel
    assert "Bearer" not in tunnel
    assert request.startswith("GET /blob HTTP/1.1")
    assert "Proxy-Authorization" not in request


def test_a_certificate_that_nobody_vouches_for_is_refused(server, monkeypatch):
    """Nothing is sent; the message says that it is the certificate."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with (
        Connection(f"https://localhost:{server.port}", patience=10) as connection,
        pytest.raises(HostError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        connection.request("GET", "/", {"Authorization": "Bearer x"})
    assert not any("Bearer" in head for head in server.heads)


def test_a_certificate_for_another_name_is_refused(server, certificate, monkeypatch):
    """Although somebody vouches for it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with (
        Connection(f"https://localhost:{server.port}", patience=10) as connection,
        pytest.raises(HostError, match="Hostname mismatch"),
    ):
        connection.request("GET", "/", {})
