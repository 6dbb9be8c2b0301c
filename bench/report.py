"""A figure: what was measured, the aims, and how both are printed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from bench.measure import HIGHEST_LOAD, HIGHEST_OTHERS, Cost, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.machine import Machine

__all__ = ["Figure", "Line", "as_json", "as_text", "cpu", "difference", "ratio", "wall"]

Unit = Literal["ms", "s", "x", "MB", "MB/s", "%"]
PER_SECOND = {"ms": 1000.0, "s": 1.0}
DIGITS = {"ms": 1, "s": 2, "x": 2, "MB": 1, "MB/s": 0, "%": 3}


@dataclass(frozen=True)
class Line:
    """One result, with one value for each round."""

    title: str
    unit: Unit
    sample: Sample
    """The values, in `unit`."""
    aim: float | None = None
    """The most that the median may be; None if there is no aim."""

    @property
    def met(self) -> bool | None:
        """Return whether the aim was met; None if there is none."""
        return None if self.aim is None else self.sample.median <= self.aim


@dataclass(frozen=True)
class Figure:
    """All results of one run."""

    name: str
    title: str
    machine: Machine
    load: float
    """The highest one-minute load average during the run."""
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    others: float | None = None
    """The most cores that others kept busy between the rounds; None where the load says how busy the machine was."""

    @property
    def valid(self) -> bool:
        """Return whether the machine was idle enough for the results to count."""
        return self.load <= HIGHEST_LOAD if self.others is None else self.others <= HIGHEST_OTHERS


def cpu(subject: str, costs: Iterable[Cost], unit: Literal["ms", "s"] = "ms", *, aim: float | None = None) -> Line:
    """Return a line with the CPU time of a subject, user and system."""
    return Line(f"{subject}, CPU", unit, Sample(tuple(cost.cpu * PER_SECOND[unit] for cost in costs)), aim)


def wall(subject: str, costs: Iterable[Cost], unit: Literal["ms", "s"] = "ms", *, aim: float | None = None) -> Line:
    """Return a line with the wall time of a subject: how long a person waits for it."""
    return Line(f"{subject}, wall", unit, Sample(tuple(cost.wall * PER_SECOND[unit] for cost in costs)), aim)


def difference(ours: Line, peer: Line, *, aim: float | None = None) -> Line:
    """Return a line with how much more ours takes than its peer, round by round."""
    values = tuple(a - b for a, b in zip(ours.sample.values, peer.sample.values, strict=True))
    return Line(f"({ours.title}) - ({peer.title})", ours.unit, Sample(values), aim)


def ratio(ours: Line, peer: Line, *, aim: float | None = None) -> Line:
    """Return a line with how many times as much ours takes as its peer, round by round."""
    values = tuple(a / b for a, b in zip(ours.sample.values, peer.sample.values, strict=True))
    return Line(f"({ours.title}) / ({peer.title})", "x", Sample(values), aim)


def as_json(figure: Figure) -> str:
    """Render a figure for programs, with every value."""
    lines = [
        {
            "title": line.title,
            "unit": line.unit,
            "median": line.sample.median,
            "quartiles": line.sample.quartiles,
            "values": line.sample.values,
            "aim": line.aim,
            "met": line.met,
        }
        for line in figure.lines
    ]
    return json.dumps({**asdict(figure), "lines": lines, "valid": figure.valid}, indent=2)


def as_text(figure: Figure) -> str:
    """Render a figure for people."""
    machine = figure.machine
    count = len(figure.lines[0].sample.values)
    seen, limit = f"highest load {figure.load:.2f}", HIGHEST_LOAD
    if figure.others is not None:
        seen, limit = f"{seen}, others {figure.others:.2f} cores", HIGHEST_OTHERS
    state = "valid" if figure.valid else f"INVALID, because it is above {limit:g}"
    width = max(len(line.title) for line in figure.lines)
    unit = max(2, *(len(line.unit) for line in figure.lines))
    return "\n".join(
        [
            f"{figure.name}: {figure.title}",
            f"{machine.cpu}, {machine.cores} cores, {machine.kernel}, {machine.python}, uv {machine.uv}",
            f"{count} rounds, {seen}: {state}",
            "",
            f"{'':{width}}  {'median':>{8 + unit}}  {'middle half':<16}  aim",
            *(_text_line(line, width, unit) for line in figure.lines),
            *([""] if figure.notes else []),
            *figure.notes,
        ]
    )


def _text_line(line: Line, width: int, unit: int) -> str:
    digits = DIGITS[line.unit]
    low, high = line.sample.quartiles
    spread = f"{low:.{digits}f} to {high:.{digits}f}" if len(line.sample.values) > 1 else "one value"
    cells = [f"{line.title:{width}}", f"{line.sample.median:>7.{digits}f} {line.unit:{unit}}", f"{spread:<16}"]
    if line.aim is not None:
        cells.append(f"{line.aim:g} {line.unit}: {'met' if line.met else 'MISSED'}")
    return "  ".join(cells).rstrip()
