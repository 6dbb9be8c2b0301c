"""The first activation: from an empty home, with every wheel in uv's cache, to a command inside the environment."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.projects import copy_example
from bench.report import Figure, Line, cpu, ratio, wall
from bench.workspace import ESKER, Workspace, workspace


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as space:
        project = copy_example(space.directory / "items", scripts=True)
        space.run(ESKER, "lock", "-d", project)
        costs = rounds(
            {
                "esker": partial(_esker, space, project),
                "by hand": partial(_by_hand, space, project),
                "uv": partial(_by_uv, space, project),
                "uv copying": partial(_by_uv, space, project, "--link-mode", "copy"),
            },
            count,
            after=load.look,
        )
        imports = _imports(space, project, count, load)
        described = machine(space.uv)
    subjects = {
        "esker": "esker activate -- true",
        "by hand": "python -m venv; uv pip sync",
        "uv": "uv venv; uv pip sync --compile-bytecode",
        "uv copying": "uv venv; uv pip sync --compile-bytecode --link-mode copy",
    }
    waits = {key: wall(title, costs[key], "s") for key, title in subjects.items()}
    works = {key: cpu(title, costs[key], "s") for key, title in subjects.items()}
    return Figure(
        name="realise",
        title="examples/items, locked, from an empty home to its first activation; uv's cache is warm",
        machine=described,
        load=load.highest,
        lines=(
            *waits.values(),
            *works.values(),
            ratio(waits["esker"], waits["by hand"], aim=1.5),
            ratio(works["esker"], works["by hand"], aim=1.5),
            ratio(waits["esker"], waits["uv"], aim=1.3),
            ratio(waits["esker"], waits["uv copying"]),
            *imports,
        ),
        notes=(
            "Esker's environment holds compiled bytecode, and so does the one from `--compile-bytecode`.",
            "uv links hard into its cache, which other programs can change; Esker copies, as uv does when told to.",
        ),
    )


def _imports(space: Workspace, project: Path, count: int, load: Load) -> tuple[Line, ...]:
    """Measure how long an import of the example's API takes, from the profile's links and in uv's environment."""
    home = _empty(space)
    shutil.copytree(project, home / "items")
    space.run(ESKER, "activate", "-d", home / "items", "--", "true", home=home)
    space.run(space.uv, "venv", "--python", sys.executable, home / "venv", home=home)
    _sync(space, project, home, "--compile-bytecode")
    [profile] = (home / "items" / ".flox" / "run").glob("*-dev")
    code = f"import sys; sys.path.insert(0, {str(project / 'src')!r}); import items.__main__"
    costs = rounds(
        {
            "profile": partial(space.run, profile / "bin" / "python", "-c", code),
            "venv": partial(space.run, home / "venv" / "bin" / "python", "-c", code),
        },
        count,
        after=load.look,
    )
    title = "python -c 'import items.__main__'"
    lines = wall(f"{title} in the profile", costs["profile"]), wall(f"{title} in uv's environment", costs["venv"])
    return (*lines, ratio(*lines, aim=1.05))


def _esker(space: Workspace, project: Path) -> Cost:
    home = _empty(space)
    shutil.copytree(project, home / "items")
    return space.run(ESKER, "activate", "-d", home / "items", "--", "true", home=home)


def _by_hand(space: Workspace, project: Path) -> Cost:
    home = _empty(space)
    creation = space.run(sys.executable, "-m", "venv", home / "venv", home=home)
    return creation + _sync(space, project, home)


def _by_uv(space: Workspace, project: Path, *options: str) -> Cost:
    home = _empty(space)
    creation = space.run(space.uv, "venv", "--python", sys.executable, home / "venv", home=home)
    return creation + _sync(space, project, home, "--compile-bytecode", *options)


def _sync(space: Workspace, project: Path, home: Path, *options: str) -> Cost:
    python, lock = home / "venv" / "bin" / "python", project / ".flox" / "pylock.toml"
    return space.run(space.uv, "pip", "sync", "--require-hashes", "--python", python, *options, lock, home=home)


def _empty(space: Workspace) -> Path:
    """Return a new home. It is kept until the end, because ext4 creates files slowly after many were removed."""
    return Path(tempfile.mkdtemp(prefix="home-", dir=space.directory))
