"""The file `gcroots/<key>` of a registered link: its generations, oldest first, and what happened to them.

The key is made from the link's own path. The link itself shows which generation is current. If several generations have
the path that it leads to, it is the one that a person went back to, else the newest of them.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.errors import Malformed, StoreError
from esker.formats.nix import nixbase32
from esker.formats.untrusted import json_value
from esker.host import files

if TYPE_CHECKING:
    from esker.store.store import Store

__all__ = ["NOTHING", "Event", "Generation", "Registration", "canonical", "file_of", "parse", "read", "target", "write"]

_LATEST = 253_402_214_400
"""The end of the year 9999, in seconds since the epoch."""
_MOST_EVENTS = 200
"""How many events a registration keeps: the newest."""


class Generation(NamedTuple):
    """One target that a link has or had."""

    number: int
    """Counts from 1; a newer generation has a higher number."""
    path: str
    """Physical."""
    made_at: float
    """Seconds since the epoch."""
    current: bool
    held: bool = False
    """Whether a person went back to it, so that only another declaration or lock leaves it."""
    declared: str | None = None
    """The store path, physical, that holds what the target was made from; None if nothing was kept."""
    parent: int | None = None
    """The generation that was current when this one was made."""
    description: str = ""
    """For people: what differs from the generation before."""


class Event(NamedTuple):
    """A moment at which a link began to lead to a generation."""

    time: float
    """Seconds since the epoch."""
    generation: int
    previous: int | None
    """The generation that was current before."""
    is_new: bool
    """Whether the generation was made then."""


class Registration(NamedTuple):
    """What is known of a link."""

    generations: tuple[Generation, ...] = ()
    events: tuple[Event, ...] = ()
    """Oldest first."""

    @property
    def current(self) -> Generation | None:
        """The generation that the link leads to; None if it leads elsewhere."""
        return next((each for each in self.generations if each.current), None)

    def last_live(self, number: int) -> float | None:
        """Return when the link ceased to lead to a generation; None if it does lead there, or if that is not known."""
        if self.current is not None and self.current.number == number:
            return None
        return next((event.time for event in reversed(self.events) if event.previous == number), None)

    def noted(self, event: Event) -> Registration:
        """Return the registration with one more event."""
        return self._replace(events=(*self.events, event)[-_MOST_EVENTS:])


NOTHING = Registration()


def canonical(link: str) -> str:
    """Return the one spelling that a link is registered under: its directory resolved, its own name unchanged."""
    return os.path.join(os.path.realpath(os.path.dirname(link)), os.path.basename(link))


def file_of(store: Store, link: str) -> str:
    """Return the path of the file of a link, whose spelling is the canonical one."""
    return f"{store.state}/gcroots/{nixbase32.encode(sha256(os.fsencode(link)).digest()[:20])}"


def target(link: str, directory: int | None = None) -> str | None:
    """Return where a link leads; None if it cannot be read."""
    try:
        return os.readlink(link, dir_fd=directory)
    except OSError:
        return None


def read(store: Store, link: str) -> Registration:
    """Return what is known of a link; nothing if it is not registered. Raises StoreError if the file is damaged."""
    file = file_of(store, link)
    return parse(store, file)[1] if os.path.exists(file) else NOTHING


def parse(store: Store, file: str) -> tuple[str, Registration]:
    """Return the link that a file registers, and what is known of it; raises StoreError if the file is damaged."""
    remedy = f"remove `{file}` and activate the environment again"
    try:
        data = json_value(files.read(file, error=StoreError, remedy=remedy), has_paths=True)
        link = str(data["link"])
        held, leads_to = data.get("held"), target(link)
        generations = tuple(_generation(store, each) for each in data["generations"])
        events = tuple(_event(each) for each in data.get("events", []))
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, Malformed) as error:
        raise StoreError(f"the registration `{file}` is damaged", hint=remedy) from error
    there = [each.number for each in generations if each.path == leads_to]
    current = held if held in there else there[-1] if there else None
    marked = tuple(each._replace(current=each.number == current, held=each.number == held) for each in generations)
    return link, Registration(marked, events)


def _generation(store: Store, record: dict[str, Any]) -> Generation:
    declared, parent = record.get("declared"), record.get("parent")
    return Generation(
        int(record["number"]),
        store.physical(store.parse(str(record["path"]))),
        _time(record["time"]),
        current=False,
        declared=None if declared is None else store.physical(store.parse(str(declared))),
        parent=None if parent is None else int(parent),
        description=str(record.get("description", "")),
    )


def _event(record: dict[str, Any]) -> Event:
    previous = record["previous"]
    return Event(
        _time(record["time"]),
        int(record["generation"]),
        None if previous is None else int(previous),
        bool(record["new"]),
    )


def _time(value: Any) -> float:
    """Return a time that can be shown; raises ValueError for any other."""
    time = float(value)
    if not 0 <= time <= _LATEST:
        raise ValueError("no time of our era")
    return time


def write(store: Store, link: str, registration: Registration) -> None:
    """Write the file of a link; without generations, remove it."""
    file = file_of(store, link)
    if not registration.generations:
        with files.refused("remove", file, StoreError):
            os.unlink(file)
        return
    data = {
        "version": 1,
        "link": link,
        "generations": [_record(store, each) for each in registration.generations],
        "held": next((each.number for each in registration.generations if each.held), None),
        "events": [
            {"time": each.time, "generation": each.generation, "previous": each.previous, "new": each.is_new}
            for each in registration.events
        ],
    }
    files.write(file, json.dumps(data, indent=1).encode() + b"\n", error=StoreError)


def _record(store: Store, generation: Generation) -> dict[str, Any]:
    return {
        "number": generation.number,
        "path": str(store.parse(generation.path)),
        "time": generation.made_at,
        "declared": None if generation.declared is None else str(store.parse(generation.declared)),
        "parent": generation.parent,
        "description": generation.description,
    }
