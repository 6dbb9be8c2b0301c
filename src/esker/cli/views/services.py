"""The states of services as a person sees them: as a table, redrawn in place while something is under way."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self

from esker.cli.views.output import print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.services.status import ServiceStatus

__all__ = ["Live", "record", "state", "table"]

_HEAD = ["NAME", "STATUS", "PID", "HEALTH", "PORTS", "UPTIME"]
_FEWEST_ROWS = 3


def table(statuses: Iterable[ServiceStatus], voice: Voice) -> str:
    """Return the states as a table: Flox's columns, and where the voice has more, health, ports and uptime after them.

    Flox fills its last column up with blanks; the lines of the wider table end where their text does.
    """
    lines = [voice.service_cells(cells) for cells in (_HEAD, *map(_cells, statuses))]
    name = max(10, *(len(cells[0]) for cells in lines[1:]))
    status = max(6, *(len(cells[1]) for cells in lines[1:]))
    return "\n".join(_line(cells, (name, status)) for cells in lines)


def _line(cells: list[str], widths: tuple[int, int]) -> str:
    first = f"{cells[0]:<{widths[0]}} {cells[1]:<{widths[1]}} {cells[2]:>8}"
    return " ".join((first, f"{cells[3]:<9}", f"{cells[4]:<20}", cells[5])).rstrip() if cells[3:] else first


def _cells(one: ServiceStatus) -> list[str]:
    pid = "-" if one.pid is None else str(one.pid)
    ports = " ".join(f"{name}={port}" for name, port in sorted(one.ports.items()))
    uptime = "-" if one.uptime is None else _span(one.uptime)
    return [one.name, _status(one), pid, one.health or "-", ports or "-", uptime]


def _status(one: ServiceStatus) -> str:
    done = one.exit_code is not None and one.exit_code >= 0 and one.pid is None
    return f"{one.status} ({one.exit_code})" if done and one.status in {"Completed", "Error"} else one.status


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def state(one: ServiceStatus) -> dict[str, object]:
    """Return a state as JSON shows it: Flox's keys first."""
    return {**record(one), "engine": "native"}


def record(one: object) -> dict[str, object]:
    """Return one of the services' values as JSON shows it."""
    from dataclasses import asdict

    return asdict(one)  # type: ignore[call-overload, no-any-return]  # every value here is one of our dataclasses


class Live:
    """The states of services while something is under way: redrawn in place on a terminal, else not shown."""

    def __init__(self, voice: Voice, *, as_json: bool = False, always: bool = False) -> None:
        self._states: dict[str, ServiceStatus] = {}
        self._drawn: list[str] = []
        self._voice = voice
        self._terminal = sys.stderr.isatty() and not as_json and voice.level >= 0
        self._always = always
        self._json = as_json

    def show(self, one: ServiceStatus) -> None:
        """Show a service that has changed."""
        self._states[one.name] = one
        if self._terminal:
            self._erase()
            text = table((self._states[name] for name in sorted(self._states)), self._voice)
            self._drawn = _fitting(text.split("\n"), *_terminal_size())
            sys.stderr.write("".join(f"{line}\n" for line in self._drawn))
            sys.stderr.flush()
        elif self._always and self._json:
            print_json(state(one), indent=None)
        elif self._always:
            print(table([one], self._voice).partition("\n")[2], flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._always:
            self._erase()

    def _erase(self) -> None:
        if self._drawn:
            columns, rows = _terminal_size()  # it may have become smaller: what was one row may be two by now
            height = sum(1 + max(0, len(line) - 1) // columns for line in self._drawn)
            sys.stderr.write(f"\x1b[{min(height, rows - 1)}A\x1b[J")
            self._drawn = []


def _terminal_size() -> tuple[int, int]:
    """The columns and rows of the terminal; one that does not know them is taken for the usual one."""
    columns, rows = os.get_terminal_size(sys.stderr.fileno())
    return columns or 80, rows if rows > _FEWEST_ROWS else 24


def _fitting(lines: list[str], columns: int, rows: int) -> list[str]:
    """Return `lines` as they fit above the cursor, which can go back no further than the terminal is high."""
    room = rows - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} more: see esker services status"]
    return [line[:columns] for line in lines]
