"""A registry in memory, which can fail as real ones do: it refuses, it is overloaded, and it closes connections.

    with FakeRegistry() as registry:
        registry.faults.append(Fault("PUT", "/blobs/", status=500))

Each fault happens once, in the order of the list, to the first request that fits it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["FakeRegistry", "Fault"]

_MANIFEST = re.compile(r"/v2/(?P<path>.+)/manifests/(?P<label>[^/]+)")
_BLOB = re.compile(r"/v2/(?P<path>.+)/blobs/(?P<digest>sha256:[0-9a-f]{64})")
_REFERRERS = re.compile(r"/v2/(?P<path>.+)/referrers/(?P<digest>sha256:[0-9a-f]{64})")
_UPLOAD = re.compile(r"/v2/(?P<path>.+)/blobs/uploads/(?P<id>\d*)")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    method: str
    part: str
    """Of the request's path."""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = -1
    """The connection ends after this many bytes of the body; what has come of an upload is kept."""
    largest: int = 0
    """A body with more bytes than this is refused with `status`, and the fault stays."""


class FakeRegistry:
    """A registry on a free port of this machine; a context manager."""

    def __init__(self, *, login: str = "", token: bool = False, lists_referrers: bool = False) -> None:
        self.lists_referrers = lists_referrers
        self.login = login
        """`USER:PASSWORD` that it wants; nobody needs to log in without one."""
        self.token = token
        """Whether it sends people for a token."""
        self.faults: list[Fault] = []
        self.log: list[str] = []
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.tokens: list[str] = []
        """The scopes that tokens were asked for."""
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def requests(self) -> list[str]:
        """Return the requests, each with its method and path."""
        return list(self.log)


class _Handler(BaseHTTPRequestHandler):
    fake: FakeRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""

    def handle(self) -> None:
        """Answer until the client goes."""
        try:
            super().handle()
        except (ConnectionResetError, BrokenPipeError):
            self.close_connection = True

    def do_GET(self) -> None:
        """Answer a request; so do the other methods."""
        parts = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        fault = self._fault(parts.path, size)
        with self.fake.lock:
            self.fake.log.append(f"{self.command} {self.path}")
        if fault and fault.cut >= 0:
            self._cut(parts.path, fault.cut)
            return
        body = self.rfile.read(size)
        if fault:
            self._send(fault.status, fault.headers, b"{}")
        elif parts.path == "/token":
            self._token(parse_qs(parts.query))
        elif self._is_let_in():
            self._answer(parts.path, parse_qs(parts.query), body)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815  # the base's names

    def _fault(self, path: str, size: int) -> Fault | None:
        with self.fake.lock:
            for fault in self.fake.faults:
                if fault.method == self.command and fault.part in path and (not fault.largest or size > fault.largest):
                    if not fault.largest:
                        self.fake.faults.remove(fault)
                    return fault
        return None

    def _cut(self, path: str, size: int) -> None:
        """Take a part of the body, or give a part of the answer, and close the connection."""
        if upload := _UPLOAD.fullmatch(path):
            self.fake.uploads.setdefault(upload["id"], bytearray()).extend(self.rfile.read(size))
        elif blob := _BLOB.fullmatch(path):
            data = self.fake.blobs[blob["path"], blob["digest"]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:size])
        self.close_connection = True

    def _is_let_in(self) -> bool:
        fake = self.fake
        if not fake.login:
            return True
        basic = base64.b64encode(fake.login.encode()).decode()
        expected = "Bearer secret-token" if fake.token else f"Basic {basic}"
        if self.headers.get("Authorization") == expected:
            return True
        challenge = (
            f'Bearer realm="http://{fake.host}/token",service="fake",scope="x"' if fake.token else 'Basic realm="fake"'
        )
        self._send(401, {"WWW-Authenticate": challenge}, b'{"errors":[{"code":"UNAUTHORIZED"}]}')
        return False

    def _token(self, query: Mapping[str, list[str]]) -> None:
        self.fake.tokens += query.get("scope", [])
        basic = base64.b64encode(self.fake.login.encode()).decode()
        if self.headers.get("Authorization") == f"Basic {basic}":
            self._send(200, {}, json.dumps({"token": "secret-token"}).encode())
        else:
            self._send(401, {}, b"{}")

    def _answer(self, path: str, query: Mapping[str, list[str]], body: bytes) -> None:
        with self.fake.lock:
            if match := _MANIFEST.fullmatch(path):
                self._manifest(match["path"], match["label"], body)
            elif match := _BLOB.fullmatch(path):
                data = self.fake.blobs.get((match["path"], match["digest"]))
                self._send(404 if data is None else 200, {}, data or b"")
            elif match := _UPLOAD.fullmatch(path):
                self._upload(match["path"], match["id"], query, body)
            elif self.fake.lists_referrers and (match := _REFERRERS.fullmatch(path)):
                index = {"schemaVersion": 2, "manifests": self._referrers(match["path"], match["digest"])}
                self._send(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, json.dumps(index).encode())
            else:
                self._send(404, {}, b"")

    def _manifest(self, path: str, label: str, body: bytes) -> None:
        manifests = self.fake.manifests
        if self.command == "PUT":
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            named = json.loads(body)
            blobs = [each["digest"] for each in (*named.get("layers", ()), named.get("config")) if each]
            missing = [each for each in blobs if (path, each) not in self.fake.blobs]
            missing += [
                each["digest"] for each in named.get("manifests", ()) if (path, each["digest"]) not in manifests
            ]
            if missing:
                self._send(400, {}, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}')
                return
            for each in (label, digest):
                manifests[path, each] = self.headers["Content-Type"], body
            subject = named.get("subject") if self.fake.lists_referrers else None
            headers = {"OCI-Subject": subject["digest"]} if subject else {}
            self._send(201, {"Docker-Content-Digest": digest, **headers}, b"")
            return
        entry = manifests.get((path, label))
        self._send(
            404 if entry is None else 200, {"Content-Type": entry[0]} if entry else {}, entry[1] if entry else b""
        )

    def _referrers(self, path: str, digest: str) -> list[dict[str, object]]:
        """Return descriptors of the manifests that refer to one."""
        attached = {}
        for (its_path, label), (media_type, data) in self.fake.manifests.items():
            value = json.loads(data)
            if its_path == path and ":" in label and (value.get("subject") or {}).get("digest") == digest:
                attached[label] = {
                    "mediaType": media_type,
                    "digest": label,
                    "size": len(data),
                    "artifactType": value["artifactType"],
                }
        return list(attached.values())

    def _upload(self, path: str, number: str, query: Mapping[str, list[str]], body: bytes) -> None:
        uploads = self.fake.uploads
        if self.command == "POST":
            source, digest = query.get("from"), query.get("mount")
            if source and digest and (source[0], digest[0]) in self.fake.blobs:
                self.fake.blobs[path, digest[0]] = self.fake.blobs[source[0], digest[0]]
                self._send(201, {}, b"")
                return
            number = str(next(self.fake.numbers))
            uploads[number] = bytearray()
            self._send(202, {"Location": f"/v2/{path}/blobs/uploads/{number}"}, b"")
            return
        if number not in uploads:
            self._send(404, {}, b"")
            return
        data = uploads[number]
        where = {"Location": f"/v2/{path}/blobs/uploads/{number}", "Range": f"0-{max(len(data) - 1, 0)}"}
        begins = re.match(r"(\d+)-", self.headers.get("Content-Range") or "")
        if self.command == "GET":
            self._send(204, where, b"")
        elif begins and int(begins[1]) != len(data):
            self._send(416, where, b"")
        else:
            data += body
            digest = query.get("digest", [""])
            if self.command == "PATCH":
                self._send(202, {**where, "Range": f"0-{len(data) - 1}"}, b"")
            elif f"sha256:{hashlib.sha256(data).hexdigest()}" != digest[0]:
                self._send(400, {}, b'{"errors":[{"code":"DIGEST_INVALID","message":"not its digest"}]}')
            else:
                self.fake.blobs[path, digest[0]] = bytes(uploads.pop(number))
                self._send(201, {}, b"")

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)
