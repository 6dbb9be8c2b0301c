"""Measuring: commands and their peers take turns, and statistics of what each run cost.

The subjects of a comparison are run in rounds. Each runs once a round, and the order changes from round to round, so
that whatever else the machine does affects all of them alike. A first round warms up and is not counted.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["HIGHEST_LOAD", "HIGHEST_OTHERS", "LEAST_ROUNDS", "Cost", "Sample", "rounds", "run"]

LEAST_ROUNDS = 7
HIGHEST_LOAD = 1.5  # the one-minute average above which a run is not valid
HIGHEST_OTHERS = 0.25  # the cores kept busy by others above which a run that uses all cores itself is not valid


@dataclass(frozen=True)
class Cost:
    """What one run cost, in seconds."""

    cpu: float
    """User and system time of the process and of all children that it waited for."""
    wall: float

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of one run after the other."""
        return Cost(self.cpu + other.cpu, self.wall + other.wall)


@dataclass(frozen=True)
class Sample:
    """Many values of one thing, with their median and spread."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the middle value."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Return the bounds of the middle half; if there is only one value, both are that value."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high


def run(command: Sequence[str], *, environment: Mapping[str, str], directory: str | None = None) -> Cost:
    """Run a command to its end; raise RuntimeError with its output if it fails."""
    with tempfile.TemporaryFile() as file:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            file.seek(0)
            output = file.read().decode(errors="replace")
            raise RuntimeError(f"`{' '.join(command)}` ended with status {process.returncode}:\n{output}")
    return Cost(cpu=usage.ru_utime + usage.ru_stime, wall=wall)


def rounds(
    subjects: Mapping[str, Callable[[], Cost]], count: int, *, after: Callable[[], None]
) -> dict[str, tuple[Cost, ...]]:
    """Run every subject once a round, and return the costs of each in the order of the rounds.

    `count` rounds are counted; one more, before them, warms up. `after` is called after each round.
    How far it is goes to standard error.
    """
    if count < LEAST_ROUNDS:
        raise ValueError(f"{count} rounds are too few: a figure needs {LEAST_ROUNDS}")
    names = list(subjects)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for number in range(count + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            cost = subjects[name]()
            if number > 0:
                costs[name].append(cost)
        after()
        print(f"{number} of {count} rounds", file=sys.stderr, flush=True)
    return {name: tuple(values) for name, values in costs.items()}
