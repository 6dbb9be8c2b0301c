"""A registry of npm on loopback: descriptions and archives made in memory, with a count of what was asked for."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

__all__ = ["NpmRegistry", "archive", "integrity", "member"]


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of an archive; `fields` are those of tarfile's TarInfo."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def archive(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return an archive as `npm pack` writes one."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file, tarfile.open(fileobj=file, mode="w") as written:
        for info, content in members:
            written.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def integrity(data: bytes, algorithm: str = "sha512") -> str:
    """Return the hash of an archive as npm writes it."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


class NpmRegistry:
    """A registry that serves what was added to it; a context manager. Other files are served by their paths, too."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        """How often each path was asked for."""
        self.logins: dict[str, str | None] = {}
        """The last login that came for each path."""
        self.files: dict[str, bytes] = {}
        """What is served, by path."""
        self.redirects: dict[str, str] = {}
        """Where else a path is said to be."""
        self.halved: set[str] = set()
        """The paths of which only the first half comes."""
        self._packages: dict[str, dict[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """The address of the registry."""
        return f"http://127.0.0.1:{self._server.server_port}/npm"

    def at(self, path: str) -> str:
        """Return the address of a file."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def add(
        self, name: str, version: str, files: Mapping[str, bytes], *, data: bytes | None = None, **described: Any
    ) -> dict[str, Any]:
        """Publish a package, and return its entry in a lock of npm; `described` is added to its `package.json`."""
        description = {"name": name, "version": version, **described}
        listed = {"package.json": json.dumps(description).encode(), **files}
        packed = data or archive(member(f"package/{path}", content) for path, content in listed.items())
        short = name.rpartition("/")[2]
        path = f"/npm/{name}/-/{short}-{version}.tgz"
        self.files[path] = packed
        package = self._packages.setdefault(name, {"name": name, "dist-tags": {}, "versions": {}})
        dist = {"tarball": self.at(path), "integrity": integrity(packed), "shasum": hashlib.sha1(packed).hexdigest()}
        package["versions"][version] = {**description, "dist": dist}
        package["dist-tags"]["latest"] = version
        self.files[f"/npm/{name}"] = json.dumps(package).encode()
        return {"version": version, "resolved": self.at(path), "integrity": integrity(packed)}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(registry: NpmRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            registry.requests[path] += 1
            registry.logins[path] = self.headers.get("Authorization")
            data = registry.files.get(path)
            if path in registry.redirects:
                self.send_response(302)
                self.send_header("Location", registry.redirects[path])
                data = b""
            else:
                self.send_response(404 if data is None else 200)
            body = data or b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if path in registry.halved else body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
