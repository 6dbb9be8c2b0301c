"""The states of a supervised service, in Flox's words, and which state may follow which.

docs/concepts/services.md has the same table for users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ACTIVE", "TRANSITIONS", "Health", "State"]

State = Literal[
    "Stopped",  # it was not started yet, or it was stopped; no process of it runs
    "Pending",  # it waits for the services that it depends on
    "Launching",  # a daemon's command runs, but the daemon itself does not run yet
    "Running",  # its program, or a daemon's process, runs
    "Restarting",  # it has ended, and will run again after a pause
    "Terminating",  # it is being stopped
    "Completed",  # it has ended as it should, and will not run again
    "Error",  # it has failed, or could not be stopped
    "Skipped",  # it did not run, because a service that it depends on has failed or was stopped
]

Health = Literal["starting", "healthy", "unhealthy"]
"""Compose's words for the health of a running service that has a health check."""

ACTIVE: frozenset[State] = frozenset(("Pending", "Launching", "Running", "Restarting", "Terminating"))
"""The states of a service that runs, is about to run, or is being stopped."""

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
"""For each state, the states that may follow it."""
