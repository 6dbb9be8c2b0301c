"""What the tests of both engines share: a manifest with services, and which of them run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esker.flox import Flox

__all__ = ["SERVICES", "running"]

SERVICES = """
[services.web]
command = "echo started; exec sleep 1000"
[services.other]
command = "exec sleep 1000"
[services.broken]
command = "echo why; exit 3"
[plugins.esker.services]
web.user = "root"
other.user = "root"
broken.user = "root"
"""
"""Two services that run until they are stopped, and one that fails."""


def running(flox: Flox) -> set[str]:
    """Return the names of the services that have a process."""
    return {service.name for service in flox.services.status() if service.pid}
