"""A conda environment of 60 packages and 10,000 files: cold, from the package cache, and unchanged."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.projects import with_manifest
from bench.report import Figure, cpu, ratio, wall
from bench.workspace import ESKER, Workspace, workspace
from tests.support.conda_channel import CondaChannel, many
from tests.support.conda_package import SUBDIR

_ALL, _FEWER = "many-059", "many-058"
"""Each package needs the one before: the first stands for 60, the second for 59 of them."""


def figure(count: int) -> Figure:
    """Measure `count` rounds; the channel is on loopback, in the process that measures."""
    load = Load()
    with workspace() as space, CondaChannel(many()) as channel:
        whole, fewer = (conda_project(space, channel, name) for name in (_ALL, _FEWER))
        space.run(ESKER, "activate", "-d", whole, "--", "true")  # what the warm rounds find
        space.run(ESKER, "activate", "-d", fewer, "--", "true")
        cache = space.directory / "rattler-cache"
        _by_hand(space, whole, cache)
        costs = rounds(
            {
                "cold": partial(_cold, space, whole),
                "cold by hand": lambda: _by_hand(space, whole, _new(space)),
                "warm": partial(_warm, space, fewer),
                "warm by hand": partial(_by_hand, space, fewer, cache),
                "unchanged": partial(space.run, ESKER, "activate", "-d", fewer, "--", "true"),
            },
            count,
            after=load.look,
        )
        described = machine(space.uv)
    titles = {
        "cold": "esker activate -- true, nothing fetched",
        "cold by hand": "rattler.install, nothing fetched",
        "warm": "esker activate -- true, 59 packages in the store",
        "warm by hand": "rattler.install, 59 packages in its cache",
        "unchanged": "esker activate -- true, unchanged",
    }
    waits = {key: wall(title, costs[key], "s") for key, title in titles.items()}
    works = {key: cpu(title, costs[key], "s") for key, title in titles.items()}
    return Figure(
        name="conda",
        title="60 conda packages with 10,000 files, from a channel on loopback",
        machine=described,
        load=load.highest,
        lines=(
            *waits.values(),
            *works.values(),
            ratio(waits["cold"], waits["cold by hand"], aim=1.15),
            ratio(waits["warm"], waits["warm by hand"], aim=1.15),
        ),
        notes=("Both link hard, and neither runs a script of a package. Esker also hashes each file that it unpacks.",),
    )


def conda_project(space: Workspace, channel: CondaChannel, name: str) -> Path:
    """Write a project that declares one package of the channel, and lock it for this system; return its directory."""
    system = {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR]
    text = f"""schema-version = "1.14.0"
[options]
systems = ["{system}"]
[plugins.esker.conda]
channels = ["{channel.url}"]
dependencies = ["{name}"]
"""
    project = with_manifest(text, space.directory / name)
    space.run(ESKER, "lock", "-d", project)
    return project


def _cold(space: Workspace, project: Path) -> Cost:
    home = _new(space)
    shutil.copytree(project, home / "project", ignore=shutil.ignore_patterns("run", "cache"))
    return space.run(ESKER, "activate", "-d", home / "project", "--", "true", home=home)


def _warm(space: Workspace, project: Path) -> Cost:
    """Take the prefix away, but not the packages, which another environment has; and make it again."""
    for name in ("run", "cache"):
        shutil.rmtree(project / ".flox" / name)
    space.run(ESKER, "store", "gc", "--keep", "1")
    return space.run(ESKER, "activate", "-d", project, "--", "true")


def _by_hand(space: Workspace, project: Path, cache: Path) -> Cost:
    root = str(Path(__file__).parents[1])
    lock, prefix = project / ".flox" / "conda.lock", _new(space) / "prefix"
    command = (sys.executable, "-m", "bench.rattler_install", "install", lock, prefix, cache)
    return space.run(*command, directory=Path(root))


def _new(space: Workspace) -> Path:
    """Return a new directory. It is kept until the end, because ext4 creates files slowly after many were removed."""
    return Path(tempfile.mkdtemp(prefix="round-", dir=space.directory))
