"""A Docker engine of its own for tests, with all images of `images`, of which nothing is left when it ends.

    with DockerEngine() as engine:
        subprocess.run(["docker", "compose", "up", "--wait"], env=os.environ | engine.variables)

It runs in namespaces of processes and mounts, under a shell that reads commands from a pipe. When the pipe closes, also
because the tests have been killed, the kernel ends everything in there. What the kernel keeps, which is bridges, control
groups and files, is removed at the end; after a kill, by the next engine that takes the same place.

Published ports are on the machine's loopback, as those of any engine. There is no packet filter, so that no rule of the
machine changes; containers reach each other and the machine, but nothing beyond it.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from tests.support.containers import images, programs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = ["DockerEngine"]

_PLACES = 16
_PATIENCE = 60
"""Seconds that a start may take."""
_LARGEST = "4g"
"""How much memory images, containers and volumes may take. Removing them from a disk took 10 s."""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DockerEngine:
    """The engine, in the first free of a few places on the machine, or in the one named; a context manager.

    It needs root, and keeps its data in memory.
    """

    def __init__(self, place: int | None = None) -> None:
        self._wanted = range(_PLACES) if place is None else [place]
        self.variables: dict[str, str] = {}
        """With these variables `docker` is its client, with Compose and buildx."""

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise RuntimeError("the tests of containers start a Docker engine, which only root can")
        programs_root, images_root = programs.ROOT.path(), images.ROOT.path()
        with contextlib.ExitStack() as stack:
            self._place = stack.enter_context(_place(self._wanted))
            self._libexec = programs_root / "libexec"
            self._make_client(programs_root)
            self._shell = stack.enter_context(self._namespaces())
            data = self._place.directory / "data"
            data.mkdir()
            self._tell(f"mount -t tmpfs -o mode=711,size={_LARGEST} esker-engine {data}; echo mounted")
            self.start()
            for archive in sorted(images_root.glob("*.tar")):
                self.docker("load", "--quiet", "--input", str(archive))
            self._images = self._all_images()
            self._end = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()

    def docker(self, *arguments: str, check: bool = True) -> str:
        """Run the client, and return what it prints. Raises RuntimeError with its messages, unless told not to check."""
        command = ["docker", *arguments]
        environ = os.environ | self.variables
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"`{' '.join(command)}` failed: {done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Start the engine again after `kill`, and wait until it answers."""
        number, directory = self._place.number, self._place.directory
        command = [
            f"{self._libexec}/dockerd --data-root {directory}/data --exec-root {directory}/exec",
            f"--pidfile {directory}/pid --host unix://{directory}/docker.sock --storage-driver overlay2",
            f"--bridge {self._place.bridge} --default-address-pool base={self._place.networks},size=26",
            f"--iptables=false --ip6tables=false --init-path {self._libexec}/docker-init",
            f"--exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /esker-engine-{number}",
        ]
        self._pid = self._tell(f"rm -f {directory}/pid; {' '.join(command)} >>{directory}/log 2>&1 & echo $!")
        deadline = time.monotonic() + _PATIENCE
        while not _answers(directory / "docker.sock"):
            if time.monotonic() > deadline or self._tell(f"kill -0 {self._pid} 2>/dev/null; echo $?") != "0":
                raise RuntimeError(f"dockerd does not answer: {(directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill the engine as nothing can prevent; its containers run on."""
        self._tell(f"kill -9 {self._pid}; wait {self._pid}; echo killed")

    def clear(self) -> None:
        """Remove all containers, networks and volumes, and the images that were not there at first."""
        for what, remove in {
            ("ps", "--all"): ("rm", "--force", "--volumes"),
            ("network", "ls", "--filter", "type=custom"): ("network", "rm"),
            ("volume", "ls"): ("volume", "rm", "--force"),
        }.items():
            names = self.docker(*what, "--quiet").split()
            if names:
                self.docker(*remove, *names)
        if built := self._all_images() - self._images:
            self.docker("image", "rm", "--force", *built)

    def _all_images(self) -> set[str]:
        return {*self.docker("image", "ls", "--quiet", "--no-trunc").split()}

    def _make_client(self, programs_root: Path) -> None:
        client = self._place.directory / "client"
        client.mkdir()
        (client / "config.json").write_text("{}")
        (client / "cli-plugins").symlink_to(programs_root / "cli-plugins")
        self.variables |= {
            "DOCKER_HOST": f"unix://{self._place.directory}/docker.sock",
            "DOCKER_CONFIG": str(client),
            "PATH": f"{programs_root}/bin:{os.environ['PATH']}",
        }

    @contextlib.contextmanager
    def _namespaces(self) -> Iterator[subprocess.Popen[str]]:
        """Give a shell in namespaces of processes and mounts, which end with it."""
        unshare = ["unshare", "--fork", "--pid", "--mount", "--mount-proc", f"{self._libexec}/docker-init", "--", "sh"]
        environ = {"PATH": f"{self._libexec}:{_SYSTEM_PATH}", "HOME": str(self._place.directory)}
        with (
            open(self._place.directory / "log", "ab") as log,
            subprocess.Popen(
                unshare, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environ, text=True
            ) as shell,
        ):
            yield shell

    def _tell(self, line: str) -> str:
        """Have the shell run a line, and return the one line that this prints."""
        commands, answers = _pipes(self._shell)
        commands.write(f"{line}\n")
        commands.flush()
        return answers.readline().strip()


class _Place:
    """One of the places that engines can take: a directory, a bridge, and addresses, all with the same number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.directory = Path(f"/var/tmp/esker-engine-{number}")
        self.bridge = f"esker-engine{number}"
        # Addresses for measuring devices (RFC 2544), which no network of a machine has.
        self.networks = ipaddress.ip_network(f"198.18.{16 * number}.0/20")
        self.address = ipaddress.ip_interface(f"198.19.{number}.1/24")

    def make(self) -> None:
        self.directory.mkdir(mode=0o711)
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("address", "add", str(self.address), "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")

    def clear(self) -> None:
        """Remove what an engine in this place has left; none runs."""
        for link in json.loads(_ip("-json", "address", "show", "type", "bridge")):
            addresses = [ipaddress.ip_address(each["local"]) for each in link.get("addr_info", ())]
            if link.get("ifname") == self.bridge or any(each in self.networks for each in addresses):
                _ip("link", "delete", link["ifname"])
        groups = Path("/sys/fs/cgroup")
        for top in [*groups.glob(f"esker-engine-{self.number}"), *groups.glob(f"*/esker-engine-{self.number}")]:
            for directory, _, _ in os.walk(top, topdown=False):
                os.rmdir(directory)
        if self.directory.exists():
            shutil.rmtree(self.directory)


@contextlib.contextmanager
def _place(numbers: Iterable[int]) -> Iterator[_Place]:
    """Give the first of the places that no running engine has."""
    for number in numbers:
        place = _Place(number)
        with open(f"{place.directory}.lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            place.clear()
            try:
                place.make()
                yield place
            finally:
                place.clear()
            return
    raise RuntimeError("other tests on this machine have all places for Docker engines")


def _pipes(shell: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert shell.stdin is not None
    assert shell.stdout is not None
    return shell.stdin, shell.stdout


def _answers(path: Path) -> bool:
    """Return whether an engine answers on a socket."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(_PATIENCE)
        connection.connect(str(path))
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.0 200")
    return False


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
