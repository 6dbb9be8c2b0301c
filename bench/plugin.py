"""The pytest plugin: what every run of pytest pays for it, used or not."""

from __future__ import annotations

import sys
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.report import Figure, cpu, difference
from bench.workspace import workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTEST = (sys.executable, "-m", "pytest", "--version", "--version")  # with a single one, pytest loads no plugins
RUNS = 30  # runs of each subject in a round, because single runs differ by more than the plugin costs


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as space:
        subjects = {
            "with": partial(space.run, *PYTEST),
            "without": partial(space.run, *PYTEST, "-p", "no:esker.testing"),
        }
        costs = rounds(subjects, count * RUNS, after=load.look)
        described = machine(space.uv)
    ours, bare = (cpu(f"pytest, {subject} the plugin", _means(costs[subject])) for subject in ("with", "without"))
    return Figure(
        name="plugin",
        title="pytest with Esker's plugin, asked only for its version",
        machine=described,
        load=load.highest,
        lines=(ours, bare, difference(ours, bare, aim=2)),
        notes=(f"A round's value is the mean of {RUNS} runs.",),
    )


def _means(costs: Sequence[Cost]) -> list[Cost]:
    """Return the mean of each group of RUNS costs."""
    groups = [costs[first : first + RUNS] for first in range(0, len(costs), RUNS)]
    return [Cost(cpu=fmean(cost.cpu for cost in group), wall=fmean(cost.wall for cost in group)) for group in groups]
