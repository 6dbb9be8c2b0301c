"""A runtime and a chamber of a few lines each: what Esker needs of a tool that it has never seen.

A project is the runtime's when it has a file `throwaway.env` of lines `NAME=VALUE`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from esker.activate.active import Begun
from esker.activate.difference import Activation
from esker.runtimes.protocol import Runtime
from esker.runtimes.registry import RUNTIMES, Kind
from esker.services.chamber import Leased, Stopped
from esker.services.registry import CHAMBERS
from esker.services.status import ServiceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARKER = "throwaway.env"


class Throwaway(Runtime):
    """Sets the variables of the file, and notes each end of an activation beside it."""

    name = "throwaway"

    def __init__(self, project: str) -> None:
        self.project = project

    def begin(self, environ: Mapping[str, str], deadline: object = None) -> Begun:
        """Read the file."""
        lines = Path(self.project, MARKER).read_text().splitlines()
        return Begun(Activation(set=dict(line.split("=", 1) for line in lines)), self._end)

    def _end(self) -> None:
        with open(f"{self.project}/ended", "a") as file:
            file.write("ended\n")


def runtime(project: str, mode: str | None = None) -> Throwaway:
    """Return the runtime of a project."""
    return Throwaway(project)


class ThrowawayServices:
    """One service, which runs while there is a file of its name that holds what it was started with.

    It has only those methods of a Chamber that are called in the tests.
    """

    def __init__(self, project: str, given: Any) -> None:
        self._file, self._given = Path(project, "web"), given
        self.names = ("web",)
        self.remarks = ()
        self.unreadable = None

    def start(self, *names: str, **how: Any) -> tuple[ServiceStatus, ...]:
        """Write the file."""
        begun = self._given({"BASE": "1"}, None)
        self._file.write_text(begun.activation.apply({"BASE": "1"})["GREETING"])
        begun.end()
        return self.status()

    def lease(self, *names: str, **how: Any) -> Leased:
        """Start until the release."""
        return Leased(self.start(), self.stop)

    def release(self, pid: int, token: str) -> None:
        """Stop what was leased under the token; only one is ever in use."""
        self.stop()

    def stop(self, *names: str, force: bool = False) -> Stopped:
        """Remove the file."""
        self._file.unlink(missing_ok=True)
        return Stopped(stopped=self.names, not_running=())

    def status(self, *names: str) -> tuple[ServiceStatus, ...]:
        """Return what the file says."""
        running = self._file.exists()
        return (ServiceStatus(name="web", status="Running" if running else "Stopped", ready=running),)

    def keeper(self) -> None:
        """Nothing has to live on."""

    def logs(self, name: str, count: int | None = None) -> list[str]:
        """Return what the service was given."""
        return [self._file.read_text()]


def chamber(project: str, settings: object, environ: object, activation: Any) -> ThrowawayServices:
    """Return the services of a project."""
    return ThrowawayServices(project, activation)


def registered() -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yield what makes Esker know of both: a registry, a name, and the entry."""
    yield RUNTIMES, "throwaway", Kind("tests.support.throwaway", MARKER)
    yield CHAMBERS, "throwaway", "tests.support.throwaway"
