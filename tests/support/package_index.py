"""A package index on loopback: the simple API of PEP 503 over wheels made in memory, with a count of what was asked."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = ["PackageIndex", "wheel"]

_EPOCH = (2020, 1, 1, 0, 0, 0)


def wheel(
    name: str,
    version: str,
    files: Mapping[str, str | bytes],
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    scripts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
    python: str | None = None,
    unlisted: Sequence[str] = (),
    listed: Sequence[str] = (),
) -> bytes:
    """Return a wheel.

    `files` are named by their path below site-packages and executable where they begin with `#!` or ELF's magic;
    `scripts` are console scripts by name (`module:function`); `tag` says which platforms it is for;
    `python` is its Requires-Python. Its RECORD is right but for the files in `unlisted`, which it leaves out, and those
    in `listed`, which it has although they are not there.
    """
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Python: {python}\n"] if python else []
    metadata += [f"Requires-Dist: {requirement}\n" for requirement in requires]
    metadata += [f"Provides-Extra: {extra}\n" for extra in extras]
    members: dict[str, bytes] = {path: _bytes(content) for path, content in files.items()}
    members[f"{info}/METADATA"] = "".join(metadata).encode()
    members[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: esker\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    if scripts:
        entries = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        members[f"{info}/entry_points.txt"] = f"[console_scripts]\n{entries}".encode()
    record = [f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in members.items()]
    record = [line for line in record if not line.startswith(tuple(f"{path}," for path in unlisted))]
    record += [f"{path},,\n" for path in listed]
    members[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n"]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in members.items():
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = (0o755 if content.startswith((b"#!", b"\x7fELF")) else 0o644) << 16
            archive.writestr(entry, content)
    return packed.getvalue()


class PackageIndex:
    """An index that serves what was added to it; a context manager."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        """How often each path was asked for."""
        self.refusal: int | None = None
        """The HTTP status that everything is answered with, None to serve."""
        self.credentials: str | None = None
        """The `user:password` without which everything is answered with 401; None if everybody is served."""
        self.max_age: int | None = None
        """For how many seconds an answer may be kept without asking again; None says nothing of it."""
        self._files: dict[str, dict[str, bytes]] = {}
        self._removed: set[str] = set()
        self._yanked: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """The address of the index."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/simple"

    def add(
        self,
        name: str,
        version: str,
        files: Mapping[str, str | bytes] | None = None,
        *,
        requires: Sequence[str] = (),
        scripts: Mapping[str, str] | None = None,
        tag: str = "py3-none-any",
        python: str | None = None,
    ) -> None:
        """Serve a wheel of `name`; without `files` it holds one module of that name."""
        module = name.replace("-", "_")
        content = files if files is not None else {f"{module}.py": f'VERSION = "{version}"\n'}
        packed = wheel(name, version, content, requires=requires, scripts=scripts, tag=tag, python=python)
        self._files.setdefault(name, {})[f"{module}-{version}-{tag}.whl"] = packed

    def add_source(self, name: str, version: str, setup: str) -> None:
        """Serve a source distribution of `name` whose setup.py is `setup`."""
        packed = io.BytesIO()
        top = f"{name}-{version}"
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, text in {
                "setup.py": setup,
                "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            }.items():
                entry = tarfile.TarInfo(f"{top}/{path}")
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        self._files.setdefault(name, {})[f"{top}.tar.gz"] = packed.getvalue()

    def put(self, name: str, file: str, content: bytes) -> None:
        """Serve a file as it is; under a name that is already known, as a tampered index would."""
        self._files.setdefault(name, {})[file] = content

    def remove(self, name: str, *, entirely: bool) -> None:
        """Serve no file of a package any more; unless `entirely`, they are still listed."""
        if entirely:
            del self._files[name]
        else:
            self._removed.update(self._files[name])

    def yank(self, name: str, version: str) -> None:
        """Mark the files of a version as ones that nobody should choose any more (PEP 592)."""
        self._yanked.update(file for file in self._files[name] if file.split("-")[1] == version)

    def files(self, name: str) -> dict[str, bytes]:
        """Return the files of a package by name."""
        return self._files[name]

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Return media type and body for a path of the simple API, or None where there is nothing."""
        self.requests[path] += 1
        parts = path.strip("/").split("/")
        known = self._files.get(parts[1]) if len(parts) > 1 else None
        if known is None:
            return None
        if len(parts) == 2:  # /simple/NAME/
            links = (
                f'<a href="/files/{parts[1]}/{name}#sha256={hashlib.sha256(data).hexdigest()}"'
                f"{' data-yanked=broken' if name in self._yanked else ''}>{name}</a>"
                for name, data in known.items()
            )
            return "text/html", f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
        return ("application/octet-stream", known[parts[2]]) if parts[2] in known.keys() - self._removed else None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(index: PackageIndex) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            refusal = index.refusal or (None if self._is_allowed() else 401)
            found = None if refusal else index.answer(self.path.partition("?")[0])
            kind, content = found or ("text/plain", b"not found")
            self.send_response(200 if found else refusal or 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if index.max_age is not None and found:
                self.send_header("Cache-Control", f"max-age={index.max_age}, public")
            self.end_headers()
            if body:
                self.wfile.write(content)

        def _is_allowed(self) -> bool:
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            return index.credentials is None or base64.b64decode(given).decode() == index.credentials

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
            """Say nothing."""

    return Handler


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
