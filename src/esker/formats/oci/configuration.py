"""What an image asks of the engine that runs it: variables, command, user, ports, health check and the like.

Specification: OCI image-spec v1.1, `config.md`; `Healthcheck` is Docker's addition, which Docker and Podman read.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Configuration", "HealthCheck"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


class HealthCheck(NamedTuple):
    """How an engine finds out whether a container is healthy; times in seconds, 0 means the engine's own value."""

    test: tuple[str, ...]
    """`("CMD", program, …)`, `("CMD-SHELL", text)`, or `("NONE",)` to switch off the base's."""
    interval: float = 0
    timeout: float = 0
    start_period: float = 0
    start_interval: float = 0
    """Of Docker 25 and later; earlier engines ignore it."""
    retries: int = 0


class Configuration(NamedTuple):
    """What an engine is asked; an empty field leaves the value of the base, or where there is no base the engine's."""

    env: Mapping[str, str] = _NOTHING
    """Variables, in the order in which they stand in the image; they replace those of the base by name."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    """`uid`, `uid:gid`, or names that `/etc/passwd` and `/etc/group` of the image have."""
    working_dir: str = ""
    ports: tuple[str, ...] = ()
    """Such as `8080/tcp`."""
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = _NOTHING
    stop_signal: str = ""
    health_check: HealthCheck | None = None
