"""Debian's programs for images: a registry, skopeo, umoci and faketime, unpacked without being installed.

    with RegistryServer(tmp_path) as registry:
        subprocess.run(image_tools.command("skopeo", "inspect", f"docker://{registry.host}/app:1.0"))

The programs are those of Debian 12, which run on it and on later ones.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support import debian
from tests.support.debian import Apt
from tests.support.roots import Root

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ROOT", "RegistryServer", "environ", "program", "skopeo", "umoci"]

_PACKAGES = (
    *("docker-registry", "skopeo", "umoci", "faketime", "libfaketime"),
    *("libgpgme11", "libassuan0", "libgpg-error0", "libdevmapper1.02.1", "libudev1", "libselinux1", "libpcre2-8-0"),
)
_PATIENCE = 30
"""Seconds that the registry may take to start."""


def _make(made: Path, scratch: Path) -> None:
    with Apt("bookworm") as apt:
        apt.unpack(_PACKAGES, made)


ROOT = Root(_make, (Path(__file__), Path(debian.__file__)))


def program(name: str) -> str:
    """Return the path of one of the programs."""
    return str(ROOT.path() / "usr/bin" / name)


def environ() -> dict[str, str]:
    """Return the variables under which the programs find their libraries."""
    (libraries,) = (ROOT.path() / "usr/lib").glob("*-linux-gnu")
    return os.environ | {"LD_LIBRARY_PATH": f"{libraries}:{ROOT.path()}/lib/{libraries.name}"}


def skopeo(*arguments: str) -> str:
    """Run skopeo, and return what it prints; raises AssertionError with its messages."""
    return _run([program("skopeo"), "--insecure-policy", *arguments])


def umoci(*arguments: str) -> str:
    """Run umoci, and return what it prints; raises AssertionError with its messages."""
    return _run([program("umoci"), *arguments])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, env=environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class RegistryServer:
    """Debian's registry on a free port of this machine; a context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "version": 0.1,
            "log": {"level": "info", "formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": str(self._directory / "data")}, "delete": {"enabled": True}},
            "http": {"addr": "127.0.0.1:0"},
        }
        (self._directory / "config.yml").write_text(json.dumps(settings))
        self._log = self._directory / "log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [program("docker-registry"), "serve", str(self._directory / "config.yml")], stdout=log, stderr=log
            )
        try:
            self.host = f"127.0.0.1:{self._port()}"
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def requests(self) -> list[str]:
        """Return the requests that it has answered, each with its method, path and status."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [
            f"{line['http.request.method']} {line['http.request.uri']} {line['http.response.status']}"
            for line in lines
            if line.get("msg", "").startswith("response completed")
        ]

    def alter(self, digest: str) -> None:
        """Change a byte of a blob where the registry keeps it."""
        kind, _, name = digest.partition(":")
        path = self._directory / f"data/docker/registry/v2/blobs/{kind}/{name[:2]}/{name}/data"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def _port(self) -> int:
        """Return the port once the registry answers there."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            if match := re.search(r"listening on 127\.0\.0\.1:(\d+)", self._log.read_text()):
                connection = HTTPConnection("127.0.0.1", int(match[1]), timeout=1)
                try:
                    connection.request("GET", "/v2/")
                    if connection.getresponse().status == 200:
                        return int(match[1])
                except (OSError, HTTPException):
                    pass
                finally:
                    connection.close()
            time.sleep(0.02)
        raise RuntimeError(f"the registry does not answer: {self._log.read_text()[-2000:]}")
