"""What is known of one service, as command and API show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ServiceStatus", "Until", "parse"]

Until = Literal["healthy", "completed", "stopped"]
"""What to wait for; a service without a health check counts as healthy when it is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service at one moment; the first four are Flox's."""

    name: str
    status: str = "Stopped"
    """Flox's word; `states` explains those of supervised services."""
    pid: int | None = None
    exit_code: int | None = None
    """128 and the number of the signal that ended it, if one did."""
    health: str | None = None
    """Compose's word: starting, healthy, unhealthy; None without a check."""
    ready: bool = False
    """Whether it is what a start waits for: healthy, running, or completed."""
    ports: Mapping[str, int] = field(default_factory=dict)
    started_at: float | None = None
    """Seconds since 1970."""
    uptime: float | None = None
    restarts: int = 0
    kept: bool = False
    """Whether it runs until `services stop`."""
    users: tuple[int, ...] = ()
    """The pids that hold a lease on it."""
    user: str | None = None
    """Whose rights its processes have."""
    message: str | None = None
    """Why it failed, or what its last check found wrong."""
    note: str | None = None
    """What people should know about its identity or its log."""
    environment_set_at: float | None = None
    environment_set_by: int | None = None
    """The pid that asked for the start which gave it its variables."""
    log: str | None = None


def parse(record: Mapping[str, Any]) -> ServiceStatus:
    """Return the status whose fields `record` holds, as JSON has them."""
    return ServiceStatus(**{**record, "users": tuple(record["users"])})
