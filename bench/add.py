"""Adding one small package to an environment of about a hundred, against `uv add` with byte code."""

from __future__ import annotations

from functools import partial
from itertools import count as numbers
from typing import TYPE_CHECKING

from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.projects import LARGE, SMALL, manifest_with, uv_project_of
from bench.report import Figure, cpu, ratio, wall
from bench.workspace import ESKER, Workspace, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def figure(count: int) -> Figure:
    """Measure `count` rounds; each adds another package, which neither environment has had before."""
    load = Load()
    with workspace() as space:
        ours, theirs = space.directory / "esker", space.directory / "uv"
        manifest_with(LARGE, ours)
        uv_project_of(LARGE, theirs)
        space.run(ESKER, "activate", "-d", ours, "--", "true")
        space.run(space.uv, "sync", "--compile-bytecode", directory=theirs)
        _fetch(space)
        costs = rounds(
            {"esker": partial(_esker, space, ours, numbers()), "uv": partial(_uv, space, theirs, numbers())},
            count,
            after=load.look,
        )
        described = machine(space.uv)
    subjects = {"esker": "esker install pypi/NAME", "uv": "uv add --compile-bytecode NAME"}
    waits = {key: wall(title, costs[key], "s") for key, title in subjects.items()}
    works = {key: cpu(title, costs[key], "s") for key, title in subjects.items()}
    return Figure(
        name="add",
        title="one small package into an environment with jupyterlab and pandas; everything is in uv's cache",
        machine=described,
        load=load.highest,
        lines=(
            *waits.values(),
            *works.values(),
            ratio(waits["esker"], waits["uv"], aim=1.5),
            ratio(works["esker"], works["uv"], aim=1.5),
        ),
        notes=("Each also changes the declaration and locks it; Esker locks for four systems, uv for all.",),
    )


def _fetch(space: Workspace) -> None:
    """Bring the packages into uv's cache, and what the index says of them."""
    project = space.directory / "fetched"
    uv_project_of(SMALL, project)
    space.run(space.uv, "sync", directory=project)


def _esker(space: Workspace, project: Path, turns: Iterator[int]) -> Cost:
    return space.run(ESKER, "install", "-d", project, f"pypi/{_name(turns)}")


def _uv(space: Workspace, project: Path, turns: Iterator[int]) -> Cost:
    return space.run(space.uv, "add", "--compile-bytecode", _name(turns), directory=project)


def _name(turns: Iterator[int]) -> str:
    turn = next(turns)
    if turn >= len(SMALL):
        raise RuntimeError(f"at most {len(SMALL) - 1} rounds: each adds another package")
    return SMALL[turn]
