"""The messages about services that an edit of the manifest has not reached yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from esker.cli.voice import Voice
    from esker.services.status import ServiceStatus

__all__ = ["say_outdated"]


def say_outdated(statuses: Iterable[ServiceStatus], declared: Collection[str], voice: Voice) -> None:
    """Name the services that run by an earlier definition or that are not `declared` any more, and the mend."""
    statuses = [*statuses]
    outdated = [status.name for status in statuses if status.outdated]
    contained = {status.name for status in statuses if status.container}
    of_compose = [name for name in outdated if name in declared and name in contained]
    edited = [name for name in outdated if name in declared and name not in contained]
    removed = [name for name in outdated if name not in declared]
    for names, change in (
        (edited, "the manifest was edited or its ports renewed"),
        (of_compose, "the Compose file or its variables changed"),
    ):
        if not names:
            continue
        verb = "runs" if len(names) == 1 else "run"
        mend = f"`{voice.program} services start --recreate` applies the edit"
        voice.remark(f"! {_listed(names)} still {verb} as defined before {change}: {mend}")
    if removed:
        verb, them = ("runs", "it") if len(removed) == 1 else ("run", "them")
        mend = f"`{voice.program} services stop {' '.join(removed)}` stops {them}"
        voice.remark(f"! {_listed(removed)} still {verb}, but the manifest no longer declares {them}: {mend}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
