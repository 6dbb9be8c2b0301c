"""The states of a supervised service, in Flox's words, and which may follow which.

docs/concepts/services.md shows the same table to people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ACTIVE", "TRANSITIONS", "Health", "State"]

State = Literal[
    "Stopped",  # nothing of it runs: it was not started yet, or it was stopped
    "Pending",  # it waits for the services that it depends on
    "Launching",  # the command of a daemon runs, and the daemon itself does not yet
    "Running",  # its program, or a daemon's process, runs
    "Restarting",  # it has ended, and a pause goes by until it runs again
    "Terminating",  # it is being stopped
    "Completed",  # it has ended as it should, and nothing runs it again
    "Error",  # it has failed, or could not be stopped
    "Skipped",  # it was never run, because a service that it depends on has failed or was stopped
]

Health = Literal["starting", "healthy", "unhealthy"]
"""Compose's words for a service that has a health check and runs."""

ACTIVE: frozenset[State] = frozenset(("Pending", "Launching", "Running", "Restarting", "Terminating"))
"""The states in which something runs, or is about to run or to end."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    "Stopped": frozenset(("Pending",)),
    "Pending": frozenset(("Launching", "Running", "Error", "Skipped", "Terminating")),
    "Launching": frozenset(("Running", "Restarting", "Completed", "Error", "Terminating")),
    "Running": frozenset(("Restarting", "Completed", "Error", "Terminating")),
    "Restarting": frozenset(("Launching", "Running", "Error", "Terminating")),
    "Terminating": frozenset(("Stopped", "Error")),
    "Completed": frozenset(("Pending", "Terminating")),
    "Error": frozenset(("Pending", "Terminating")),
    "Skipped": frozenset(("Pending", "Terminating")),
}
"""The states that a service may have after each state."""
