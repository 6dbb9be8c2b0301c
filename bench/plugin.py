"""The pytest plugin: what every run of pytest pays for it, used or not."""

import sys
from functools import partial

from bench.machine import Load, machine
from bench.measure import rounds
from bench.report import Figure, cpu, difference
from bench.workspace import workspace

PYTEST = (sys.executable, "-m", "pytest", "--version", "--version")  # for one of them pytest loads no plugin at all


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as space:
        subjects = {
            "with": partial(space.run, *PYTEST),
            "without": partial(space.run, *PYTEST, "-p", "no:esker.testing"),
        }
        costs = rounds(subjects, count, after=load.look)
        described = machine(space.uv)
    ours, bare = (cpu(f"pytest, {subject} the plugin", costs[subject]) for subject in ("with", "without"))
    return Figure(
        name="plugin",
        title="pytest with Esker's plugin, told to print what it is",
        machine=described,
        load=load.highest,
        lines=(ours, bare, difference(ours, bare, aim=2)),
    )
