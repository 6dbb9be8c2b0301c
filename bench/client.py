"""A Python process that uses the services of a project as any program would, and reports how long each call took."""

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
        result = environment.variables()
    elif verb == "site":
        result = {name: getattr(environment.services.site, name) for name in environment.services.site._fields}
    else:
        result = getattr(environment.services, verb)(*names)
    seconds = time.perf_counter() - begun
    print(json.dumps([seconds, result], default=dataclasses.asdict), flush=True)
"""


@dataclass(frozen=True)
class Client:
    """The process. `start` and `stop` return the seconds that the call took there."""

    process: subprocess.Popen[str]
    errors: IO[str]
    """The process's standard error."""

    def start(self, *names: str) -> float:
        """Start services, or all if none is named, and wait until they are ready."""
        return self._call("start", *names)[0]

    def stop(self, *names: str) -> float:
        """Stop services, or all if none is named, and wait until they have stopped."""
        return self._call("stop", *names)[0]

    def status(self) -> list[dict[str, Any]]:
        """Return the state of all services."""
        services: list[dict[str, Any]] = self._call("status")[1]
        return services

    def variables(self) -> dict[str, str]:
        """Return the variables that a program sees in the environment."""
        variables: dict[str, str] = self._call("variables")[1]
        return variables

    def site(self) -> dict[str, Any]:
        """Return the site where the services run, as a dictionary of its fields."""
        site: dict[str, Any] = self._call("site")[1]
        return site

    def _call(self, verb: str, *names: str) -> tuple[float, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([verb, *names]) + "\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            self.errors.seek(0)
            raise RuntimeError(f"`{verb}` of {', '.join(names) or 'all services'} failed:\n{self.errors.read()}")
        seconds, result = json.loads(answer)
        return seconds, result


@contextmanager
def client(space: Workspace, project: Path) -> Iterator[Client]:
    """Yield a client of a project; at the end, stop the project's services, whatever happened."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(project)],
            env=dict(space.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield Client(process, errors)
        finally:
            space.run(ESKER, "services", "stop", "-d", project)
