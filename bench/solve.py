"""Locking conda packages again after one was added, against rattler's own solve."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.conda import conda_project
from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.report import Figure, cpu, ratio, wall
from bench.workspace import ESKER, Workspace, workspace
from tests.support.conda_channel import CondaChannel, many
from tests.support.conda_package import package


def figure(count: int) -> Figure:
    """Measure `count` rounds; the channel is on loopback, in the process that measures."""
    load = Load()
    with workspace() as space, CondaChannel([*many(files=600), package("added")]) as channel:
        project = conda_project(space, channel, "many-059")
        cache = space.directory / "rattler-cache"
        costs = rounds(
            {
                "esker": partial(_esker, space, project),
                "by hand": partial(_by_hand, space, project, channel, cache),
            },
            count,
            after=load.look,
        )
        described = machine(space.uv)
    subjects = {"esker": "esker lock, one package added", "by hand": "rattler.solve, one package added"}
    waits = {key: wall(title, costs[key], "s") for key, title in subjects.items()}
    works = {key: cpu(title, costs[key], "s") for key, title in subjects.items()}
    return Figure(
        name="solve",
        title="60 conda packages are locked again after one was added; the channel's list is cached",
        machine=described,
        load=load.highest,
        lines=(*waits.values(), *works.values(), ratio(waits["esker"], waits["by hand"], aim=1.2)),
        notes=(
            "Both are whole programs: they start Python, import rattler and ask the channel whether its list is new.",
        ),
    )


def _esker(space: Workspace, project: Path) -> Cost:
    copy = Path(tempfile.mkdtemp(prefix="round-", dir=space.directory)) / "project"
    shutil.copytree(project, copy)
    manifest = copy / ".flox" / "env" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"many-059"', '"many-059", "added"'))
    return space.run(ESKER, "lock", "-d", copy)


def _by_hand(space: Workspace, project: Path, channel: CondaChannel, cache: Path) -> Cost:
    lock = project / ".flox" / "conda.lock"
    command = (sys.executable, "-m", "bench.rattler_install", "solve", channel.url, cache, lock, "many-059", "added")
    return space.run(*command, directory=Path(__file__).parents[1])
