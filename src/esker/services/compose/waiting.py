"""Waiting for containers that no supervisor follows, because somebody has started them by hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from esker.errors import ServiceError, ServicesNotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from esker.host.clock import Deadline
    from esker.services.status import ServiceStatus, Until

__all__ = ["await_containers"]

_PAUSE = 0.2
"""Seconds between two looks."""


def await_containers(look: Callable[[], Iterable[ServiceStatus]], until: Until, deadline: Deadline) -> None:
    """Wait until what `look` returns is `healthy` (ready, if unchecked) or `stopped`.

    Raises ServiceError for a container that has ended or can never be what is asked for, and ServicesNotReady when
    the time is up.
    """
    while late := [status for status in look() if not _is(until, status)]:
        for status in late:
            if status.pid is None:
                raise ServiceError(f"service `{status.name}` is not running", hint="start it first")
            if until == "completed":
                raise ServiceError(
                    f"nobody follows service `{status.name}` to its end: its container was started by hand",
                    hint=f"have Esker follow it: esker services start {status.name}",
                )
        if deadline.passed:
            raise ServicesNotReady(
                f"{', '.join(f'`{status.name}`' for status in late)} not {until} within {deadline.seconds:g} s",
                services=[status.name for status in late],
                hint="allow a longer `--timeout`, or look at the service with `esker services status`",
            )
        time.sleep(deadline.step(_PAUSE) or 0.0)


def _is(until: Until, status: ServiceStatus) -> bool:
    return status.pid is None if until == "stopped" else status.ready and until == "healthy"
