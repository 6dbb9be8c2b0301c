"""The notes that people get beside the states of services, each in one line and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.services.status import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.services.chamber import Chamber
    from esker.services.status import Killed, ServiceStatus

__all__ = ["say_killed", "say_notes", "say_unknown"]


def say_killed(killed: Iterable[Killed | None], voice: Voice) -> None:
    """Say which services had to be killed, and what a person can change so that they end by themselves."""
    for each in filter(None, killed):
        asked = each.signal or "its shutdown command"
        changed = f"`{'stop-signal' if each.signal else 'shutdown.command'}` and `stop-grace-period`"
        if each.container is not None:
            changed = "`stop_signal` and `stop_grace_period` in the Compose file"
        told = f"did not end within {each.seconds:g} s of {asked}, and was killed (see {changed})"
        voice.remark(f"! Service '{each.service}' {told}")


def say_notes(statuses: Iterable[ServiceStatus], voice: Voice) -> None:
    """Print each note once, with how many services have it; `say_unknown` has those of unknown services."""
    notes = [status.note for status in statuses if status.note and status.status != UNKNOWN]
    for note in dict.fromkeys(notes):
        others = notes.count(note) - 1
        voice.remark(f"! {note}" + (f" (the same for {others} more)" if others else ""))


def say_unknown(services: Chamber, statuses: Iterable[ServiceStatus], voice: Voice, *, left_out: bool = False) -> None:
    """Say which services nobody can look at, and why, if that is so; with `left_out`, that they are not started."""
    unknown = [status for status in statuses if status.status == UNKNOWN]
    why = services.unreadable or next((status.note for status in unknown if status.note), None)
    if why is None:
        return
    names = ", ".join(f"`{status.name}`" for status in unknown)
    about = f"left out: {names or 'all containers'}" if left_out else names
    voice.remark(f"! {about}: {why}" if about else f"! {why}")
