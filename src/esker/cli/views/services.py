"""The states of services: as a table, which a terminal redraws while they change, or as JSON."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from esker.cli.views.drawing import Drawing, can_draw
from esker.cli.views.output import print_json
from esker.formats.printable import printable
from esker.host.frozen_dataclass import as_dict, replaced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.services.status import Killed, ServiceStatus

__all__ = ["Live", "as_record", "reason", "state_record", "table"]

_HEAD = ["NAME", "STATUS", "PID", "HEALTH", "PORTS", "UPTIME"]
_CONDITIONS = {
    "service_started": "to start",
    "service_healthy": "to be healthy",
    "service_completed_successfully": "to complete",
    "service_completed": "to end",
}
_TITLE = "The services as they change; Ctrl-C ends this"
_EVERY = 0.5
"""Seconds between two drawings of a table in which only times change."""


def table(statuses: Iterable[ServiceStatus], voice: Voice) -> str:
    """Return the states as a table: Flox's columns, followed by health, ports and uptime if the voice shows them.

    Where some run in containers, a last column names these. An empty pid leaves blanks at the end of Flox's rows, as in
    Flox; the wider rows have no trailing blanks.
    """
    shown = [*statuses]
    lines = [voice.service_cells(cells) for cells in (_HEAD, *map(_cells, shown))]
    if any(each.container for each in shown) and lines[0][3:]:
        last = ("CONTAINER", *(each.container or "-" for each in shown))
        lines = [[*cells, container] for cells, container in zip(lines, last, strict=True)]
    name = max([10, *(len(cells[0]) for cells in lines[1:])])
    status = max([6, *(len(cells[1]) for cells in lines[1:])])
    return "\n".join(_line(cells, (name, status)) for cells in lines)


def _line(cells: list[str], widths: tuple[int, int]) -> str:
    first = f"{cells[0]:<{widths[0]}} {cells[1]:<{widths[1]}} {cells[2]:>8}"
    if not cells[3:]:
        return first
    uptime = f"{cells[5]:<8}" if cells[6:] else cells[5]
    return " ".join((first, f"{cells[3]:<9}", f"{cells[4]:<20}", uptime, *cells[6:])).rstrip()


def _cells(service: ServiceStatus) -> list[str]:
    pid = "-" if service.pid is None else str(service.pid)
    ports = " ".join(f"{name}={port}" for name, port in sorted(service.ports.items()))
    uptime = "-" if service.uptime is None else _span(service.uptime)
    return [service.name, _status(service), pid, service.health or "-", ports or "-", uptime]


def _status(service: ServiceStatus) -> str:
    ended = service.exit_code is not None and service.exit_code >= 0 and service.pid is None
    if ended and service.status in {"Completed", "Error"}:
        return f"{service.status} ({service.exit_code})"
    return service.status


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def reason(service: ServiceStatus) -> str | None:
    """Return what keeps a service from being ready, or what is wrong with it; None if nothing is known."""
    if service.message or not service.waits_for:
        return service.message
    waits = [f"`{name}` {_CONDITIONS[condition]}" for name, condition in sorted(service.waits_for.items())]
    return f"waits for {' and '.join(waits)}"


def state_record(service: ServiceStatus) -> dict[str, object]:
    """Return a service's state as a JSON object, with Flox's keys first."""
    return {**as_record(service), "engine": "native"}


def as_record(value: object) -> dict[str, object]:
    """Return a dataclass of the services' API as a JSON object."""
    return as_dict(value)


class Live:
    """The states of services while a command changes or watches them.

    On a terminal they are a table, redrawn in place and erased at the end. Elsewhere they are not shown. With `always`
    the table stays, and without a terminal each change is printed.
    """

    def __init__(self, voice: Voice, *, as_json: bool = False, always: bool = False) -> None:
        self.killed: dict[str, Killed] = {}
        """The services that had to be killed meanwhile."""
        self._states: dict[str, tuple[ServiceStatus, float]] = {}
        """Each state, and when it was told, on the monotonic clock."""
        self._voice = voice
        draws = can_draw() and not as_json and voice.level >= 0
        self._drawing = Drawing(_TITLE if always else "") if draws else None
        self._always = always
        self._json = as_json
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._clock: threading.Thread | None = None

    def show(self, service: ServiceStatus) -> None:
        """Show a service that has changed."""
        if service.killed and service.status == "Stopped":
            self.killed[service.name] = service.killed
        if self._drawing:
            with self._lock:
                self._states[service.name] = service, time.monotonic()
                self._drawing.draw(self._lines())
            if self._clock is None:
                clock = threading.Thread(target=self._redraw, args=(self._drawing,), daemon=True)
                clock.start()
                self._clock = clock
        elif self._always and self._json:
            print_json(state_record(service), indent=None)
        elif self._always:
            print(table([service], self._voice).partition("\n")[2], flush=True)

    def _redraw(self, drawing: Drawing) -> None:
        while not self._ended.wait(_EVERY):
            with self._lock:
                drawing.draw(self._lines())

    def _lines(self) -> list[str]:
        """Return the table as of now, and below it what keeps services from being ready."""
        now = time.monotonic()
        states = [
            status if status.uptime is None else replaced(status, uptime=status.uptime + now - told)
            for _, (status, told) in sorted(self._states.items())
        ]
        waiting = [it for it in states if not it.ready] if self._voice.remarks else []
        reasons = [f"! {it.name}: {text}" for it in waiting if (text := reason(it))]
        return [*table(states, self._voice).split("\n"), *(printable(" ".join(it.split())) for it in reasons)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        try:
            if self._clock:
                self._clock.join()
        finally:
            if self._drawing:
                self._drawing.erase()
                if self._always and self._states:
                    self._drawing.leave(self._lines())
