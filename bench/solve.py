"""Locking conda packages again after one was added, against rattler's own solve."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from bench.conda import conda_project
from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.report import Figure, cpu, ratio, wall
from bench.workspace import ESKER, Workspace, workspace
from tests.support.conda_channel import CondaChannel, many
from tests.support.conda_package import SUBDIR, package

_OTHERS = 30_000
"""As many other packages as conda-forge has names."""


class _Large(CondaChannel):
    """A channel whose list is as long as that of conda-forge; the other packages are in the list alone."""

    _answers: ClassVar[dict[str, bytes]] = {}

    def answer(self, path: str) -> bytes | None:
        """Return the content of a path; the list is made once."""
        if path not in self._answers and (found := super().answer(path)) is not None:
            self._answers[path] = found
        return self._answers.get(path)

    def repodata(self, subdir: str) -> dict[str, Any]:
        """Return the list, with the other packages."""
        listed = super().repodata(subdir)
        for number in range(_OTHERS if subdir == SUBDIR else 0):
            name, digest = f"other-{number:05}", f"{number:064x}"
            listed["packages.conda"][f"{name}-1.0-0.conda"] = {
                "name": name,
                "version": "1.0",
                "build": "0",
                "build_number": 0,
                "subdir": subdir,
                "depends": [f"other-{number // 2:05}"],
                "sha256": digest,
                "md5": digest[:32],
                "size": 1000,
            }
        return listed


def figure(count: int) -> Figure:
    """Measure `count` rounds; the channel is on loopback, in the process that measures."""
    load = Load()
    with workspace() as space, _Large([*many(files=600), package("added")]) as channel:
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
        title="60 conda packages are locked again after one was added, from a channel of 30,000",
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
