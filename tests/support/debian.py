"""Debian packages of any suite, fetched from the mirror of this machine's apt, and unpacked without being installed.

    with Apt("trixie") as apt:
        apt.unpack(apt.needed("nginx"), directory)

apt works on lists and caches of its own here, so the machine's packages stay as they are, and no root is needed.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = ["COPIES", "FILES", "LINKS", "Apt", "mirror"]

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SETTINGS = {
    "Dir::Etc::sourcelist": "{0}/sources.list",
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State": "{0}/state",
    "Dir::State::status": "{0}/state/status",
    "Dir::Cache": "{0}/cache",
    "Dir::Cache::pkgcache": "pkgcache.bin",  # machines made of containers keep none, and each call reads all lists
    "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
    "APT::Install-Recommends": "false",
    "APT::Sandbox::User": "",
    "Acquire::Check-Valid-Until": "false",  # a mirror may be a snapshot, and the clock of a test machine may be wrong
    "Acquire::Check-Date": "false",
}
"""Settings that stand before those of the machine, of which proxies are kept."""

COPIES = {f"etc/{name}": f"usr/share/base-passwd/{name}.master" for name in ("passwd", "group")}
FILES = {"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n"}
LINKS = {"var/run": "/run", "var/lock": "/run/lock"}
"""What the scripts of an installation make and programs need, by its place in an unpacked system."""


class Apt:
    """An apt that knows these suites of Debian, the first before the others; a context manager."""

    def __init__(self, *suites: str) -> None:
        self._suites = suites

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(prefix="esker-apt-")
        top = Path(self._scratch.name)
        for name in ("state/lists/partial", "cache/archives/partial", "packages"):
            (top / name).mkdir(parents=True)
        (top / "state/status").touch()
        lines = [f"deb [signed-by={_KEYS}] {mirror()} {suite} main\n" for suite in self._suites]
        (top / "sources.list").write_text("".join(lines))
        self._packages = top / "packages"
        self._settings = [f"-o{name}={value.format(top)}" for name, value in _SETTINGS.items()]
        self._run("update")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scratch.cleanup()

    def needed(self, *names: str) -> list[str]:
        """Return the names of packages and of all that they depend on, as on a machine that has none."""
        text = self._run("--simulate", "-t", self._suites[0], "install", *names)
        return re.findall(r"^Inst (\S+)", text, re.MULTILINE)

    def unpack(self, names: Iterable[str], directory: Path) -> None:
        """Unpack what packages install, each `NAME` or `NAME/SUITE`."""
        for archive in self.archives(names):
            command = ["tar", "-x", "-C", str(directory), "--keep-directory-symlink", "--no-same-owner"]
            subprocess.run(command, stdin=archive, check=True)

    def archives(self, names: Iterable[str]) -> Iterator[IO[bytes]]:
        """Fetch packages, each `NAME` or `NAME/SUITE`, and yield what each installs as a tar archive."""
        for file in self._packages.glob("*.deb"):
            file.unlink()
        self._run("download", "-t", self._suites[0], *names, cwd=self._packages)
        for file in sorted(self._packages.glob("*.deb")):
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE) as opened:
                assert opened.stdout is not None
                yield opened.stdout
                while opened.stdout.read(1 << 16):
                    """What follows the end of an archive is read, or dpkg-deb fails to write it."""
            if opened.returncode != 0:
                raise RuntimeError(f"{file.name} cannot be unpacked")

    def _run(self, *arguments: str, cwd: Path | None = None) -> str:
        command, environ = ["apt-get", "-qq", *self._settings, *arguments], os.environ | {"LC_ALL": "C"}
        done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"apt-get {' '.join(arguments)} failed: {done.stderr}")
        return done.stdout


def mirror() -> str:
    """Return the address from which this machine's apt has its own release of Debian."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    command = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for line in lines:
        name, _, address = line.partition(" ")
        if name == release:
            return address
    raise RuntimeError(
        f"no source of apt on this machine has Debian {release or 'at all'} (see /etc/apt/sources.list.d)"
    )
