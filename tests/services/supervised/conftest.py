"""A project with services in a place of its own, and the proof that nothing of it is left after a test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from esker.host import pidfd, process_table
from esker.services.specification import CheckSpec, ServiceSpec
from esker.services.supervised.control import Supervised, Surroundings
from esker.services.supervised.site import Site
from esker.services.supervised.supervisor_record import RecordFile

MARK = "ESKER_TEST_PROJECT"
DEADLINE = 15.0

SERVER = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    connection.close()
"""


class Project:
    """A directory with a `.flox` and the services that a test declares in it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.chmod(directory, 0o755)
        os.mkdir(f"{directory}/.flox")
        self.runtime = f"{directory}/run/e"
        self.variables = {"PATH": os.environ["PATH"], MARK: directory}
        self.paths: tuple[str, ...] = ()
        self.store = ""
        self.store_paths: tuple[str, ...] = ()
        self.specs: dict[str, ServiceSpec] = {}
        self.python = sys.executable

    @property
    def dot_flox(self) -> str:
        """Where the environment lies."""
        return f"{self.directory}/.flox"

    @property
    def site(self) -> Site:
        """What connects to the supervisor."""
        return Site(project=self.directory, dot_flox=self.dot_flox, runtime=self.runtime)

    @property
    def surroundings(self) -> Surroundings:
        """What the services are given when they start."""
        variables = {name: {**self.variables, **spec.vars} for name, spec in self.specs.items()}
        return Surroundings(variables, self.paths, self.store, self.store_paths)

    @property
    def services(self) -> Supervised:
        """All that was declared so far."""
        return Supervised(self.site, self.specs, lambda *_: self.surroundings)

    def declare(self, name: str, command: str = "exec sleep 1000", **fields: object) -> None:
        """Declare a service with a table, unless told otherwise."""
        self.specs[name] = ServiceSpec(name=name, command=command, **{"has_table": True, **fields})

    def declare_server(self, name: str, port: int, **fields: object) -> None:
        """Declare a service that answers http on `port`."""
        self.paths = (sys.executable,)
        script = Path(self.directory, "server.py")
        script.write_text(SERVER)
        check = CheckSpec(form="http", target=(f"http://127.0.0.1:{port}/",), start_interval=0.01)
        command = f"exec {sys.executable} -I -S {script} {port}"
        self.declare(name, command, **{"check": check, "ports": {"PORT": port}, **fields})

    @property
    def record(self):
        """What the environment's supervisor record says."""
        file = RecordFile(self.dot_flox)
        try:
            return file.read()
        finally:
            file.close()

    def processes(self) -> list[process_table.ProcessEntry]:
        """Every living process of the services, by a variable that they carry or by what the supervisor was started with."""
        mark, found = self.directory.encode(), []
        for entry in process_table.entries():
            if entry.ended or entry.pid == os.getpid():
                continue
            try:
                with open(f"/proc/{entry.pid}/cmdline", "rb") as file:
                    ours = f"{self.dot_flox}\0".encode() in file.read()
            except OSError:
                continue
            if ours or process_table.environment(entry.pid).get(MARK.encode()) == mark:
                found.append(entry)
        return found

    def await_nothing(self, seconds: float = DEADLINE) -> None:
        """Wait until no process of the services is left."""
        deadline = time.monotonic() + seconds
        while left := self.processes():
            with pidfd.opened(left[0].pid, left[0].start) as descriptor:
                if descriptor is not None:
                    assert pidfd.wait(descriptor, deadline - time.monotonic()), f"left: {left}"

    def leftovers(self) -> list[str]:
        """The files in the runtime directory, and what the record says."""
        found = [str(path) for path in Path(self.directory, "run").rglob("*")]
        if os.path.exists(f"{self.dot_flox}/cache/esker/lock") and self.record:
            found.append(f"{self.record}")
        return found


@pytest.fixture
def project():
    """A project in a short directory that every user may enter; nothing of it is left after the test."""
    directory = tempfile.mkdtemp(prefix="esker-")
    made = Project(directory)
    # When the tests themselves are killed the directory goes, and with it, within half a minute, what was kept.
    heir = subprocess.Popen(["sh", "-c", 'read line || rm -rf "$0"', directory], stdin=subprocess.PIPE)
    children = set(_children())
    try:
        yield made
        problems = [*made.processes(), *made.leftovers(), *(set(_children()) - children)]
    finally:
        for entry in made.processes():
            os.kill(entry.pid, signal.SIGKILL)
        made.await_nothing()
        shutil.rmtree(directory)
        heir.communicate(b"\n")
    assert not problems, f"left: {problems}"


def _children() -> list[int]:
    return [entry.pid for entry in process_table.entries() if entry.parent == os.getpid()]


@pytest.fixture
def free_port():
    """A function that gives free ports."""

    def free():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return free


@pytest.fixture
def caller(project):
    """A function that runs Python code with the project's services in another process; all are ended after the test."""
    running = []

    def call(code, *arguments):
        names = ", ".join(f"{name!r}: {spec!r}" for name, spec in project.specs.items())
        prelude = (
            "import os, sys\n"
            "from esker.services.supervised.site import Site\n"
            "from esker.services.supervised.control import Supervised, Surroundings\n"
            "from esker.services.specification import CheckSpec, ServiceSpec\n"
            f"surroundings = {project.surroundings!r}\n"
            f"services = Supervised({project.site!r}, {{{names}}}, lambda *_: surroundings)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield call
    for process in running:
        process.kill()
        with process:  # closes its pipes and waits
            pass
