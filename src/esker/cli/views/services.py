"""The states of services: as a table, which a terminal redraws while they change, or as JSON."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self

from esker.cli.views.output import print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.services.status import ServiceStatus

__all__ = ["Live", "as_record", "state_record", "table"]

_HEAD = ["NAME", "STATUS", "PID", "HEALTH", "PORTS", "UPTIME"]
_FEWEST_ROWS = 3


def table(statuses: Iterable[ServiceStatus], voice: Voice) -> str:
    """Return the states as a table: Flox's columns, followed by health, ports and uptime if the voice shows them.

    An empty pid leaves blanks at the end of Flox's rows, as in Flox; the wider rows have no trailing blanks.
    """
    lines = [voice.service_cells(cells) for cells in (_HEAD, *map(_cells, statuses))]
    name = max(10, *(len(cells[0]) for cells in lines[1:]))
    status = max(6, *(len(cells[1]) for cells in lines[1:]))
    return "\n".join(_line(cells, (name, status)) for cells in lines)


def _line(cells: list[str], widths: tuple[int, int]) -> str:
    first = f"{cells[0]:<{widths[0]}} {cells[1]:<{widths[1]}} {cells[2]:>8}"
    return " ".join((first, f"{cells[3]:<9}", f"{cells[4]:<20}", cells[5])).rstrip() if cells[3:] else first


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


def state_record(service: ServiceStatus) -> dict[str, object]:
    """Return a service's state as a JSON object, with Flox's keys first."""
    return {**as_record(service), "engine": "native"}


def as_record(value: object) -> dict[str, object]:
    """Return a dataclass of the services' API as a JSON object."""
    from dataclasses import asdict

    return asdict(value)  # type: ignore[call-overload, no-any-return]  # every value here is one of our dataclasses


class Live:
    """The states of services while a command changes or watches them.

    On a terminal they are a table, redrawn in place and erased at the end. Elsewhere they are not shown. With `always`
    the table stays, and without a terminal each change is printed.
    """

    def __init__(self, voice: Voice, *, as_json: bool = False, always: bool = False) -> None:
        self._states: dict[str, ServiceStatus] = {}
        self._drawn: list[str] = []
        self._voice = voice
        self._terminal = sys.stderr.isatty() and not as_json and voice.level >= 0
        self._always = always
        self._json = as_json

    def show(self, service: ServiceStatus) -> None:
        """Show a service that has changed."""
        self._states[service.name] = service
        if self._terminal:
            self._erase()
            text = table((self._states[name] for name in sorted(self._states)), self._voice)
            self._drawn = _fitting(text.split("\n"), *_terminal_size())
            sys.stderr.write("".join(f"{line}\n" for line in self._drawn))
            sys.stderr.flush()
        elif self._always and self._json:
            print_json(state_record(service), indent=None)
        elif self._always:
            print(table([service], self._voice).partition("\n")[2], flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._always:
            self._erase()

    def _erase(self) -> None:
        if self._drawn:
            columns, rows = _terminal_size()  # a terminal made narrower wraps a line into several rows
            height = sum(1 + max(0, len(line) - 1) // columns for line in self._drawn)
            sys.stderr.write(f"\x1b[{min(height, rows - 1)}A\x1b[J")
            self._drawn = []


def _terminal_size() -> tuple[int, int]:
    """Return the columns and rows of the terminal, or 80 and 24 if it does not know them."""
    columns, rows = os.get_terminal_size(sys.stderr.fileno())
    return columns or 80, rows if rows > _FEWEST_ROWS else 24


def _fitting(lines: list[str], columns: int, rows: int) -> list[str]:
    """Return `lines` cut to the terminal: a row that has scrolled or wrapped could not be erased again."""
    room = rows - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} more: see esker services status"]
    return [line[:columns] for line in lines]
