"""A second environment that has nine tenths of its packages in common with the first one."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

from bench.machine import Load, machine
from bench.measure import Cost, Sample, rounds
from bench.projects import LARGE, SMALL, manifest_with
from bench.report import Figure, Line, cpu, wall
from bench.workspace import ESKER, Workspace, workspace

if TYPE_CHECKING:
    from pathlib import Path

_OWN = 10
"""How many packages each environment has that the other has not."""


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as space:
        first, second = space.directory / "first", space.directory / "second"
        manifest_with([*LARGE, *SMALL[:_OWN]], first)
        manifest_with([*LARGE, *SMALL[_OWN : 2 * _OWN]], second)
        empty = _blocks(space)
        space.run(ESKER, "activate", "-d", first, "--", "true")
        whole = _blocks(space) - empty
        space.run(ESKER, "activate", "-d", second, "--", "true")
        added = _blocks(space) - empty - whole
        costs = rounds({"second": partial(_second, space, second)}, count, after=load.look)
        described = machine(space.uv)
    return Figure(
        name="second-environment",
        title="the first activation of an environment with 10 of about 100 packages that the store does not have",
        machine=described,
        load=load.highest,
        lines=(
            wall("esker activate -- true", costs["second"], "s", aim=0.3),
            cpu("esker activate -- true", costs["second"], "s"),
            Line("blocks on disk, of the first environment's", "%", Sample((100 * added / whole,)), aim=20),
        ),
    )


def _second(space: Workspace, project: Path) -> Cost:
    """Take away what the project alone has, and make it again; its lock stays."""
    for name in ("run", "cache"):
        shutil.rmtree(project / ".flox" / name)
    space.run(ESKER, "store", "gc", "--keep", "1")
    return space.run(ESKER, "activate", "-d", project, "--", "true")


def _blocks(space: Workspace) -> int:
    """Return how many bytes the store takes on disk."""
    taken = 0
    for directory, directories, files in os.walk(space.environment["ESKER_STORE"]):
        taken += sum(os.lstat(os.path.join(directory, name)).st_blocks for name in (*directories, *files))
    return taken * 512
