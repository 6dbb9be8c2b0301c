"""The status of one service, as the command and the API show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from esker.host.frozen_dataclass import replaced
from esker.services import received

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import dataclass, field
else:
    from esker.host.frozen_dataclass import dataclass, field

__all__ = ["KINDS", "UNKNOWN", "Killed", "ServiceStatus", "Until", "parse", "unknown"]

UNKNOWN = "Unknown"
"""The status of a service in a container that nobody can look at now."""

Until = Literal["healthy", "completed", "stopped"]
"""What to wait for; a service without a health check counts as healthy once it is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A service that had to be killed, because it did not end when it was asked to."""

    service: str
    signal: str | None
    """The signal that asked it to end, as `SIGTERM`; None if its shutdown command did."""
    seconds: float
    """How long it was given."""
    container: str | None = None
    """The name of its container; None for a process of this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """The status of one service at one moment; Flox has only the first four fields."""

    name: str
    status: str = "Stopped"
    """A state in Flox's words, which the module `states` explains for supervised services, or `Unknown`."""
    pid: int | None = None
    exit_code: int | None = None
    """128 plus the number of the signal, if a signal ended it."""
    health: str | None = None
    """Compose's word: starting, healthy or unhealthy; None without a health check."""
    ready: bool = False
    """Whether it is healthy now, running or completed, whichever of these a start waits for."""
    ports: Mapping[str, int] = field(default_factory=dict)
    started_at: float | None = None
    """Seconds since 1970."""
    uptime: float | None = None
    restarts: int = 0
    outdated: bool = False
    """Whether it runs by an earlier definition than the manifest's, or by one that the manifest has no more."""
    kept: bool = False
    """Whether it runs until `services stop`."""
    users: tuple[int, ...] = ()
    """The pids of the processes that have a lease on it."""
    user: str | None = None
    """The name of the user its processes run as."""
    message: str | None = None
    """Why it failed, or what its last health check found wrong."""
    waits_for: Mapping[str, str] = field(default_factory=dict)
    """The services that a `Pending` one still waits for, each with Compose's word for the condition."""
    note: str | None = None
    """A note for people, about the user it runs as, about its log, or why its status is unknown."""
    environment_set_at: float | None = None
    environment_set_by: int | None = None
    """The pid of the process whose start request set its variables."""
    log: str | None = None
    """The path of its log; None if the container engine keeps the log."""
    container: str | None = None
    """The name of the container that it runs in; None for a process of this machine."""
    killed: Killed | None = None
    """How its last stop had to kill it, also once it runs again; None if it ended when it was asked to."""

    @property
    def has_started(self) -> bool:
        """Whether it runs, healthy or not, or has completed."""
        return self.pid is not None or self.ready


def unknown(status: ServiceStatus, note: str) -> ServiceStatus:
    """Return the status of a service whose container nobody can look at; `note` says why."""
    return replaced(status, status=UNKNOWN, note=note)


KINDS: Mapping[str, Callable[[Any], Any]] = {
    "Killed": lambda given: received.record(Killed, given, {}),
    "ServiceStatus.pid": lambda given: None if given is None else received.pid(given),
    "ServiceStatus.restarts": received.whole(0, 1 << 62),
}
"""The checks for what a supervisor says of services."""


def parse(record: object) -> ServiceStatus:
    """Return the status from `record`, its fields as JSON has them; raise ValueError if it is not valid."""
    return received.record(ServiceStatus, record, KINDS)
