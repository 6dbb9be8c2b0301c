"""A job that tests a project, as each writer of workflows takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.ship.ci.choices import Choices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.ship.ci.choices import Tool

__all__ = ["Container", "Job"]


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
    """What declares the environment: `.flox`, or the file for another tool or of a Python project."""
    test: tuple[str, ...]
    """Shell commands."""
    systems: tuple[str, ...]
    """The systems to test on."""
    runners: Mapping[str, tuple[str, ...]] = {}
    """The labels of the machine for a system; one that is not here has the machine that the host offers."""
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
    image: str = ""
    """The image of GitLab's job; empty for the usual one."""
    without_packages: bool = False
    """Whether packages of `[install]` are left out."""
    has_store: bool = True
    """Whether Esker's store has the environment, so that keeping the store keeps the environment."""
    choices: Choices = Choices()
    """What the file has to remember of the command line."""

    @property
    def command(self) -> str:
        """All commands as one text for a shell, which ends at the first that fails."""
        return self.test[0] if len(self.test) == 1 else "\n".join(("set -e", *self.test))
