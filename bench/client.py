"""A Python process that uses the services of a project as programs do, and says how long each call took."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from bench.workspace import ESKER, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Client", "client"]

SCRIPT = """
import dataclasses, json, sys, time
from esker import Environment
environment = Environment(sys.argv[1])
for line in sys.stdin:
    verb, *names = json.loads(line)
    begun = time.perf_counter()
    if verb == "variables":
        done = environment.variables()
    elif verb == "site":
        done = environment.services.site
    else:
        done = getattr(environment.services, verb)(*names)
    took = time.perf_counter() - begun
    print(json.dumps([took, done], default=dataclasses.asdict), flush=True)
"""


@dataclass(frozen=True)
class Client:
    """The process; each call returns the seconds it took there."""

    process: subprocess.Popen[str]
    said: IO[str]

    def start(self, *names: str) -> float:
        """Start services, all without names, and wait until they are ready."""
        return self._call("start", *names)[0]

    def stop(self, *names: str) -> float:
        """Stop services, all without names, and wait until they have."""
        return self._call("stop", *names)[0]

    def status(self) -> list[dict[str, Any]]:
        """Return the state of all services."""
        found: list[dict[str, Any]] = self._call("status")[1]
        return found

    def variables(self) -> dict[str, str]:
        """Return what a program sees in the environment."""
        found: dict[str, str] = self._call("variables")[1]
        return found

    def site(self) -> dict[str, Any]:
        """Return where the services run."""
        found: dict[str, Any] = self._call("site")[1]
        return found

    def _call(self, verb: str, *names: str) -> tuple[float, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([verb, *names]) + "\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            self.said.seek(0)
            raise RuntimeError(f"`{verb}` of {', '.join(names) or 'all services'} failed:\n{self.said.read()}")
        took, done = json.loads(answer)
        return took, done


@contextmanager
def client(space: Workspace, project: Path) -> Iterator[Client]:
    """Give a client of a project; at the end, whatever happened, its services are stopped."""
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(project)],
            env=dict(space.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        try:
            yield Client(process, said)
        finally:
            space.run(ESKER, "services", "stop", "-d", project)
