"""A checkout with an environment of Esker and a Compose file, and the command run there as a person would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from esker.host import process_table
from esker.host.process_id import ProcessId
from esker.services.supervised.supervisor_record import RecordFile
from tests.support.projects import EMPTY, write_project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from esker.services.supervised.supervisor_record import SupervisorRecord
    from tests.support.containers.engine import DockerEngine

__all__ = ["ESKER", "Checkout", "Place"]

ESKER = (sys.executable, "-m", "esker")
_PATIENCE = 60.0
"""Seconds that a command may take."""


class Place:
    """A directory with a home of its own, for checkouts; nothing runs there any more when it ends."""

    def __init__(self, engine: DockerEngine) -> None:
        self.engine = engine
        self.checkouts: list[Checkout] = []

    def __enter__(self) -> Self:
        self.path = Path(tempfile.mkdtemp(dir="/tmp", prefix="esker-"))  # sockets need short paths
        self.path.chmod(0o755)  # root's services run as nobody, who has to enter it
        for part in ("home", "run"):
            (self.path / part).mkdir(mode=0o700)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_"))}
        self.environ = kept | {
            "HOME": f"{self.path}/home",
            "XDG_RUNTIME_DIR": f"{self.path}/run",
            "ESKER_STORE": f"{self.path}/store",
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", os.path.expanduser("~/.cache/uv")),
            **self.engine.variables,
        }
        return self

    def checkout(self, manifest: str = "", name: str = "shop", **files: str) -> Checkout:
        """Make a checkout with a manifest and other files; `compose` is the text of compose.yaml."""
        checkout = Checkout(self, write_project(self.path / name, f"{EMPTY}{manifest}", "shop"))
        for file, text in files.items():
            checkout.write("compose.yaml" if file == "compose" else file.replace("_", "."), text)
        self.checkouts.append(checkout)
        return checkout

    def processes(self) -> list[ProcessId]:
        """Return the living processes whose command line or variables have the directory in them."""
        mark = os.fsencode(str(self.path))
        entries = [entry for entry in process_table.entries() if not entry.ended and entry.pid != os.getpid()]
        return [ProcessId(each.pid, each.start) for each in entries if mark in _told(each.pid)]

    def commands(self) -> list[str]:
        """Return the command lines of these processes; a NUL is after each word."""
        found = []
        for process in self.processes():
            with suppress(OSError):
                found.append(Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace"))
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for checkout in self.checkouts:
            checkout.run(*ESKER, "services", "stop", "--force")
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        subprocess.run(["chmod", "-R", "u+rwX", self.path], check=False)
        shutil.rmtree(self.path)
        assert not left or kind, f"left: {left}"


class Checkout:
    """One checkout."""

    def __init__(self, place: Place, path: Path) -> None:
        self.place, self.path, self.engine = place, path, place.engine

    def write(self, name: str, text: str) -> None:
        """Write a file of the checkout."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def begin(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Begin a command of Esker."""
        return self._begun([*ESKER, *arguments], variables)

    def _begun(self, words: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            cwd=self.path,
            env={**self.place.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program here, however it ends."""
        with self._begun(words, variables) as begun:
            try:
                out, err = begun.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                begun.kill()
                raise
        return subprocess.CompletedProcess(words, begun.returncode, out, err)

    def esker(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Esker, which must succeed."""
        done = self.run(*ESKER, *arguments, **variables)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def refused(self, *arguments: str, **variables: str) -> str:
        """Run a command of Esker, which must fail, and return what it tells."""
        done = self.run(*ESKER, *arguments, **variables)
        assert done.returncode != 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stderr

    def inside(self, command: str, **variables: str) -> str:
        """Return what a line of shell prints inside an activation."""
        return self.esker("activate", "--", "sh", "-c", command, **variables).stdout.strip()

    def states(self, **variables: str) -> dict[str, dict[str, Any]]:
        """Return what `services status --json` says, by service."""
        told = json.loads(self.esker("services", "status", "--json", **variables).stdout)
        return {each["name"]: each for each in told}

    def compose(self, *arguments: str, **variables: str) -> str:
        """Run Compose by hand, outside of any activation."""
        done = self.run("docker", "compose", *arguments, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def record(self) -> SupervisorRecord:
        """The supervisor's record; there is a supervisor."""
        file = RecordFile(f"{self.path}/.flox")
        try:
            record = file.read()
        finally:
            file.close()
        assert record is not None
        return record


def _told(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    return b""
