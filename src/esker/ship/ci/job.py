"""A job that tests a project, as each writer of workflows takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Container", "Job", "Tool"]

Tool = Literal["esker", "flox", "nix", "guix"]
"""What enters the environment in the job."""


class Container(NamedTuple):
    """A container that the host of the job runs beside it."""

    image: str
    ports: tuple[tuple[int, int, str], ...]
    """The port of the machine, the port of the container, and the protocol."""
    environment: Mapping[str, str]
    health: Mapping[str, str] = {}
    """Docker's options for the health check, without `--health-`: cmd, interval, timeout, retries, start-period.

    No value has a quote, a backslash or a line end, which hosts read differently.
    """


class Job(NamedTuple):
    """What a workflow is made from."""

    name: str
    """The environment's name."""
    directory: str
    """The project directory below the top of the repository, `.` for the top itself."""
    declaration: str
    """What declares the environment: `.flox`, `flake.nix` or `manifest.scm`."""
    test: tuple[str, ...]
    """Shell commands."""
    systems: tuple[str, ...]
    """The systems to test on."""
    tool: Tool = "esker"
    starts_services: bool = False
    """Whether the job starts services by itself."""
    containers: Mapping[str, Container] = {}
    """Services that the host of the job runs."""
    locks: tuple[str, ...] = ()
    """The files of the lock, below the project directory."""
    has_profile: bool = False
    """Whether commands need the scripts of the profile, for functions and aliases."""
    action: str = ""
    """Where Esker's action comes from."""

    @property
    def command(self) -> str:
        """All commands as one text for a shell, which ends at the first that fails."""
        return self.test[0] if len(self.test) == 1 else "\n".join(("set -e", *self.test))
