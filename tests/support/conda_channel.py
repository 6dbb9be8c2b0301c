r"""A conda channel on loopback: repodata.json and packages of every system, with a count of what was asked for.

    with CondaChannel() as channel:
        channel.add(package("greeting", "1.0", {"bin/greet": "#!/bin/sh\necho hello\n"}))
        ...  # at channel.url

`conda_package` makes the packages by hand, and `conda_debian` makes them from the Debian packages of this machine.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

from esker.formats.conda.locked_package import LockedCondaPackage
from tests.support.conda_package import PLACEHOLDER, CondaPackage, Link, package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

__all__ = ["CondaChannel", "many", "odd_packages"]


class CondaChannel:
    """A channel that serves what was added to it; a context manager."""

    def __init__(self, packages: Iterable[CondaPackage] = ()) -> None:
        self.requests: Counter[str] = Counter()
        """How often each path was asked for, HEAD included."""
        self.refusal: int | None = None
        """The HTTP status that everything is answered with, None to serve."""
        self.refused: dict[str, int] = {}
        """The HTTP status for single files, by their names."""
        self.credentials: str | None = None
        """The `user:password` without which everything is answered with 401; None if everybody is served."""
        self.halved: set[str] = set()
        """The names of the files of which only the first half comes."""
        self.stalled: dict[str, Callable[[], object]] = {}
        """By file name, what is called once half of that file has come; the other half never comes."""
        self.lies: dict[str, str] = {}
        """The sha256 that repodata.json says of a file, by the file's name, where it is not the true one."""
        self.replaced: dict[str, bytes] = {}
        """What is served in the place of a file, by the file's name, while repodata.json says what it said."""
        self.ended = Event()
        """Set once the channel closes."""
        self._files: dict[str, CondaPackage] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        for each in packages:
            self.add(each)

    @property
    def url(self) -> str:
        """The address of the channel."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/channel"

    def add(self, added: CondaPackage) -> CondaPackage:
        """Serve a package, and return it."""
        self._files[f"{added.subdir}/{added.file_name}"] = added
        return added

    def remove(self, removed: CondaPackage) -> None:
        """Serve a package no more."""
        del self._files[f"{removed.subdir}/{removed.file_name}"]

    def url_of(self, served: CondaPackage) -> str:
        """Return the address of a package."""
        return f"{self.url}/{served.subdir}/{served.file_name}"

    def locked(self, served: CondaPackage) -> LockedCondaPackage:
        """Return a package as a lock names it."""
        lied = self.lies.get(served.file_name, served.sha256)
        depends = tuple(served.index["depends"])
        size, url = len(served.content), self.url_of(served)
        return LockedCondaPackage(served.name, served.version, served.build, served.subdir, url, lied, size, depends)

    def packages(self) -> list[CondaPackage]:
        """Return all packages of the channel."""
        return list(self._files.values())

    def fetched(self) -> Counter[str]:
        """Return how often each package was fetched, by its file's name."""
        names = Counter[str]()
        for path, count in self.requests.items():
            name = path.rpartition("/")[2]
            if name.endswith((".conda", ".tar.bz2")):
                names[name] += count
        return names

    def repodata(self, subdir: str) -> dict[str, Any]:
        """Return the content of the repodata.json of a system."""
        packages: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
        for each in self._files.values():
            if each.subdir == subdir:
                kind = "packages.conda" if each.file_name.endswith(".conda") else "packages"
                packages[kind][each.file_name] = each.record | (
                    {"sha256": self.lies[each.file_name]} if each.file_name in self.lies else {}
                )
        return {"info": {"subdir": subdir}, **packages, "removed": [], "repodata_version": 1}

    def answer(self, path: str) -> bytes | None:
        """Return the content of a path, or None where there is nothing."""
        parts = path.strip("/").split("/")
        if len(parts) != 3 or parts[0] != "channel":
            return None
        if parts[2] == "repodata.json":
            return json.dumps(self.repodata(parts[1])).encode()
        served = self._files.get(f"{parts[1]}/{parts[2]}")
        return None if served is None else self.replaced.get(served.file_name, served.content)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(channel: CondaChannel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            channel.requests[path] += 1
            refusal = channel.refusal or channel.refused.get(name) or (None if self._is_allowed() else 401)
            found = None if refusal else channel.answer(path)
            content = b"refused" if found is None else found
            self.send_response(refusal or (404 if found is None else 200))
            if refusal == 401:
                self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                is_half = found and (name in channel.halved or name in channel.stalled)
                self.wfile.write(content[: len(content) // 2] if is_half else content)
            if body and name in channel.stalled:
                self.wfile.flush()
                channel.stalled[name]()
                channel.ended.wait()

        def _is_allowed(self) -> bool:
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            return channel.credentials is None or base64.b64decode(given).decode() == channel.credentials

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
            """Say nothing."""

    return Handler


def odd_packages() -> dict[str, CondaPackage]:
    """Return small packages, each with something that few packages have, by their names.

    `activating` has scripts and variables for an activation. `post-link` has a script that conda would run, which
    makes the file `ran`. `escaping` lists a path above the prefix. `through-link` lists a path below a link that
    leads out of the prefix. `tool` is pure Python with the command `tool`; `old-format` is a .tar.bz2.
    """
    script = '#!/bin/sh\ntouch "$PREFIX/ran"\n'
    module = 'def main():\n    print("tool", __file__)\n'
    outside = {"path_type": "hardlink", "sha256": "0" * 64, "size_in_bytes": 1}
    made = [
        package(
            "activating",
            files={
                "etc/conda/activate.d/activating.sh": 'export ACTIVATING="$CONDA_PREFIX/share/activating"\n',
                "etc/conda/deactivate.d/activating.sh": "unset ACTIVATING\n",
                "etc/conda/env_vars.d/activating.json": '{"ACTIVATING_MODE": "on"}\n',
            },
        ),
        package("post-link", files={"bin/.post-link-post-link.sh": script, "share/post-link": "data\n"}),
        package("escaping", paths=[{"_path": "../../outside", **outside}]),
        package("through-link", files={"lib/out": Link("../../..")}, paths=[{"_path": "lib/out/outside", **outside}]),
        package(
            "tool",
            files={"site-packages/tool/__init__.py": "", "site-packages/tool/main.py": module},
            noarch="python",
            depends=["python"],
            entry_points=["tool = tool.main:main"],
        ),
        package("old-format", files={"share/old-format": "data\n"}, archive="tar.bz2"),
    ]
    made += [package("elsewhere", files={"share/system": f"{each}\n"}, subdir=each) for each in _FOREIGN]
    return {f"{each.name}@{each.subdir}" if each.name == "elsewhere" else each.name: each for each in made}


_FOREIGN = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64")


def many(count: int = 60, files: int = 10_000, size: int = 4096) -> list[CondaPackage]:
    """Return `count` packages that have `files` files together, each of about `size` bytes; the same at every call.

    Every fiftieth file has the placeholder in it. Each package but the first depends on the one before.
    """
    made = []
    for number in range(count):
        name = f"many-{number:03}"
        random = Random(number)
        content: dict[str, str | bytes] = {}
        for each in range(files // count + (number < files % count)):
            line = f"{name} {each}\n" if each % 50 else f"{name} {each} in {PLACEHOLDER}\n"
            text = line * max(1, size // 2 // len(line))
            content[f"share/{name}/{each % 7}/file-{each:05}"] = text + random.randbytes(size // 4).hex()
        made.append(package(name, files=content, depends=[f"many-{number - 1:03}"] if number else []))
    return made
