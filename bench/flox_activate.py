"""Activating for Python: the real Angreal client through the shim, and Esker's `Flox` in process.

Both use the same environment.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.projects import copy_example
from bench.report import Figure, ratio, wall
from bench.workspace import ESKER, Workspace, workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CALLS = 20
CLIENT = """
import json, os, sys, time
path, answer, shim, calls, module = sys.argv[1:]
os.environ["PATH"] = shim + ":" + os.environ["PATH"]
Flox = __import__(module, fromlist=["Flox"]).Flox
flox, costs = Flox(path), []
for call in range(int(calls) + 1):
    cpu, wall = time.process_time(), time.perf_counter()
    flox.activate()
    costs.append((time.process_time() - cpu, time.perf_counter() - wall))
    assert os.environ["FLOX_ENV"] in os.environ["PATH"]
    flox.deactivate()
with open(answer, "w") as file:
    json.dump(costs[1:], file)
"""


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as space:
        project = copy_example(space.directory / "project", scripts=False)
        space.run(ESKER, "activate", "-d", project, "--", "true")
        space.run(ESKER, "shim", "flox", space.directory / "shim")
        subjects = {module: _calls(space, project, module) for module in ("angreal.integrations.flox", "esker.flox")}
        costs = rounds(subjects, count, after=load.look)
        described = machine(space.uv)
    client = wall("angreal's Flox.activate(), through the shim", costs["angreal.integrations.flox"])
    ours = wall("esker.flox.Flox.activate(), in process", costs["esker.flox"])
    return Figure(
        name="flox-activate",
        title="activating for Python: examples/items without its hook",
        machine=described,
        load=load.highest,
        lines=(client, ours, ratio(ours, client, aim=1 / 20)),
        notes=(f"Each is the median of {CALLS} calls in one process, the first one not counted.",),
    )


def _calls(space: Workspace, project: Path, module: str) -> Callable[[], Cost]:
    """Return a function that measures one call of a client, as the median of several calls."""
    answer = space.directory / f"{module}.json"
    command = (sys.executable, "-c", CLIENT, project, answer, space.directory / "shim", str(CALLS), module)

    def measured() -> Cost:
        space.run(*command)
        calls = sorted(json.loads(answer.read_text()), key=lambda call: call[1])
        return Cost(*calls[len(calls) // 2])

    return measured
