"""A container engine of its own for tests, with all images of `images`, of which nothing is left when it ends.

    with DockerEngine() as engine:
        subprocess.run(["docker", "compose", "up", "--wait"], env=os.environ | engine.variables)

It runs in namespaces of processes and mounts, under a shell that reads commands from a pipe. When the pipe closes, also
because the tests have been killed, the kernel ends everything in there. What the kernel keeps, which is bridges, control
groups and files, is removed at the end; after a kill, by the next engine that takes the same place.

Published ports are on the machine's loopback, as those of any engine.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from typing import IO, TYPE_CHECKING, Self

from tests.support.containers import images, programs
from tests.support.containers.places import place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["ContainerEngine", "DockerEngine"]

_PATIENCE = 60
"""Seconds that a start may take."""
_SETTLED = 2
"""Seconds within which what a container has printed is in the log."""
_TRIES = 5
"""How often a container runs whose log is empty."""
_LARGEST = "4g"
"""How much memory images, containers and volumes may take. Removing them from a disk took 10 s."""
_ALL = {"container": ("--all",), "image": ("--no-trunc",)}
_NETWORKS = {"bridge", "host", "none", "podman"}
"""Those that an engine makes for itself, under new ids at each start."""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ContainerEngine:
    """An engine that speaks Docker's protocol, in the first free place or in the one named; a context manager.

    It needs root, and keeps its data in memory.
    """

    def __init__(self, number: int | None = None) -> None:
        self._number = number
        self.variables: dict[str, str] = {}
        """With these variables `docker` is its client, with Compose and buildx."""

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise RuntimeError("the tests of containers start an engine, which only root can")
        programs_root, images_root = programs.ROOT.path(), images.ROOT.path()
        with contextlib.ExitStack() as stack:
            self._place = stack.enter_context(place(self._number))
            self._libexec = programs_root / "libexec"
            self._make_client(programs_root)
            self._shell = stack.enter_context(self._namespaces())
            self._prepare()
            stack.callback(self._finish)
            self.start()
            for archive in sorted(images_root.glob("*.tar")):
                self.docker("load", "--quiet", "--input", str(archive))
            self._first = self._all("image")
            self._end = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()

    def _prepare(self) -> None:
        """Make in the namespaces what the engine needs."""
        raise NotImplementedError

    def _command(self) -> str:
        """Return the command that runs the engine."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Undo what outlives the namespaces and does not belong to the place."""

    def docker(self, *arguments: str, check: bool = True) -> str:
        """Run the client, and return what it prints. Raises RuntimeError with its messages, unless told not to check."""
        done = self._run(*arguments)
        if check and done.returncode != 0:
            raise RuntimeError(f"`{' '.join(done.args)}` failed: {done.stderr}")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = os.environ | self.variables
        return subprocess.run(["docker", *arguments], env=environ, capture_output=True, text=True, check=False)

    def said(self, *arguments: str) -> str:
        """Run a container to its end, and return what it has printed. Raises RuntimeError with its messages if it fails."""
        status, printed, messages = self.ran(*arguments)
        if status != 0:
            raise RuntimeError(f"{arguments} ended with {status}: {messages}")
        return printed

    def ran(self, *arguments: str) -> tuple[int, str, str]:
        """Run a container to its end, and return its status, what it has printed, and its messages.

        An attached `docker run` loses them on a busy machine. The engine's log gets them, but later than the end, and
        now and then never: Docker may learn of a short container's end before it has noted its start, and of 150 such
        containers on a busy machine 5 had empty logs. One whose log stays empty therefore runs again.
        """
        for _ in range(_TRIES):
            container = self.docker("run", "--detach", *arguments).strip()
            status = int(self.docker("wait", container))
            printed = self._logged(container)
            self.docker("rm", container)
            if printed.stdout or printed.stderr:
                break
        return status, printed.stdout, printed.stderr

    def _logged(self, container: str) -> subprocess.CompletedProcess[str]:
        """Return what a container that has ended has printed, as soon as its log holds any of it."""
        deadline = time.monotonic() + _SETTLED
        while True:
            printed = self._run("logs", container)
            if printed.stdout or printed.stderr or time.monotonic() > deadline:
                return printed
            time.sleep(0.1)

    def start(self) -> None:
        """Start the engine, also after `kill`, and wait until it answers."""
        log = self._place.directory / "log"
        self._pid = self._tell(f"rm -f {self._place.directory}/pid; {self._command()} >>{log} 2>&1 & echo $!")
        deadline = time.monotonic() + _PATIENCE
        while not _answers(self._socket):
            if time.monotonic() > deadline or self._tell(f"kill -0 {self._pid} 2>/dev/null; echo $?") != "0":
                raise RuntimeError(f"the container engine does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill the engine as nothing can prevent; its containers run on."""
        self._tell(f"kill -9 {self._pid}; wait {self._pid}; echo killed")

    def clear(self) -> None:
        """Remove all containers, networks and volumes, and the images that were not there at first."""
        for what, remove in {
            "container": ("rm", "--force", "--volumes"),
            "network": ("rm",),
            "volume": ("rm", "--force"),
            "image": ("rm", "--force"),
        }.items():
            if new := self._all(what) - self._first:
                self.docker(what, *remove, *new)

    def _all(self, what: str) -> set[str]:
        """Return the ids of all containers or the like, but not of the networks that every engine has."""
        if what == "network":
            lines = self.docker("network", "ls", "--format", "{{.Name}} {{.ID}}").splitlines()
            return {line.split()[1] for line in lines if line.split()[0] not in _NETWORKS}
        return {*self.docker(what, "ls", "--quiet", *_ALL.get(what, ())).split()}

    @property
    def _socket(self) -> Path:
        return self._place.directory / "docker.sock"

    def _make_client(self, programs_root: Path) -> None:
        client = self._place.directory / "client"
        client.mkdir()
        (client / "config.json").write_text("{}")
        (client / "cli-plugins").symlink_to(programs_root / "cli-plugins")
        self.variables |= {
            "DOCKER_HOST": f"unix://{self._socket}",
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

    def _mount_memory(self, directory: Path) -> None:
        """Have a directory in memory, seen by the engine alone, that ends with the namespaces."""
        self._tell(
            f"mkdir -p {directory} && mount -t tmpfs -o mode=711,size={_LARGEST} esker {directory}; echo mounted"
        )


class DockerEngine(ContainerEngine):
    """Docker. No rule of the machine's packet filter changes, so containers reach each other and the machine alone."""

    def _prepare(self) -> None:
        self._place.make_bridge()
        self._mount_memory(self._place.directory / "data")

    def _command(self) -> str:
        directory = self._place.directory
        return (
            f"{self._libexec}/dockerd --data-root {directory}/data --exec-root {directory}/exec"
            f" --pidfile {directory}/pid --host unix://{self._socket} --storage-driver overlay2"
            f" --bridge {self._place.bridge} --default-address-pool base={self._place.networks},size=26"
            f" --iptables=false --ip6tables=false --init-path {self._libexec}/docker-init"
            f" --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /{self._place.name}"
        )


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
