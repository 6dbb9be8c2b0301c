"""What the Flox integration needs of whoever plays the environment: Flox's own command, or Esker without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args

from esker.errors import UsageError
from esker.host import variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from subprocess import CompletedProcess

    from esker.activate.active import Begun
    from esker.formats.service_handle import Holder
    from esker.host.clock import Deadline
    from esker.services.chamber import Started
    from esker.services.status import ServiceStatus
    from esker.services.supervised.protocol import Until

__all__ = ["Engine", "EngineName", "EngineServices", "choose"]

EngineName = Literal["auto", "flox", "native"]


class EngineServices(Protocol):
    """The services of one environment."""

    def start(self, names: Sequence[str], deadline: Deadline) -> Started:
        """Start services, all without names, to stay."""

    def use(self, names: Sequence[str], deadline: Deadline) -> Callable[[], None]:
        """Start services, all without names, for this process until the returned function is called."""

    def restart(self, names: Sequence[str], deadline: Deadline) -> None:
        """Stop services that run, and start them."""

    def stop(self, names: Sequence[str] | None = None, holder: Holder | None = None) -> None:
        """Stop services, whoever uses them; None is all of them, and no names are none."""

    def status(self) -> tuple[ServiceStatus, ...]:
        """Return the state of every service, by name."""

    def wait(self, names: Sequence[str], until: Until, deadline: Deadline) -> None:
        """Wait until services, all without names, are in a state."""

    def logs(self, name: str, tail: int | None = None) -> str:
        """Return the last lines of a service's log."""

    def follow(self, name: str, tail: int | None = None) -> Iterator[str]:
        """Yield the last lines of a service's log and those that are added, until the caller has enough."""


class Engine(Protocol):
    """The environment of one project (absolute, links resolved)."""

    name: str
    project: str

    @property
    def key(self) -> str:
        """What names its activation among those of the process."""

    @property
    def services(self) -> EngineServices:
        """Its services."""

    def version(self) -> str:
        """Return the version of Flox that it is, or behaves like."""

    def begin(self, environ: Mapping[str, str], deadline: Deadline) -> Begun:
        """Return what an activation changes in `environ`, and what ends it; set nothing."""

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        capture: bool = True,
        stdin: str | None = None,
        deadline: Deadline,
    ) -> CompletedProcess[str]:
        """Run a program in the environment; its status is the result's, whatever it is."""

    def init(self, name: str | None) -> None:
        """Make an environment in the project."""

    def install(self, packages: Sequence[str], deadline: Deadline) -> None:
        """Add packages to the environment."""

    def uninstall(self, packages: Sequence[str], deadline: Deadline) -> None:
        """Take packages out of the environment."""

    def lock(self, deadline: Deadline) -> None:
        """Lock the manifest, where its lock does not say the same already."""


def choose(wanted: str, project: str) -> Engine:
    """Return the engine that was asked for; `auto` is `ESKER_ENGINE`, else Flox where it is on PATH, else native."""
    environ = variables.current()
    source = "engine"
    if wanted == "auto":
        wanted, source = environ.get("ESKER_ENGINE", "auto"), "ESKER_ENGINE"
    if wanted not in get_args(EngineName):
        raise UsageError(f"`{source}` cannot be `{wanted}`", hint=f"it is one of {', '.join(get_args(EngineName))}")
    from esker.activate.flox.command import find_flox
    from esker.runtimes.flox_services_ import FloxWithServices as _Flox

    if wanted == "flox" or (wanted == "auto" and find_flox(environ.get("PATH"))):
        return _Flox(project)
    from esker.runtimes.flox_native import Native

    return Native(project)
