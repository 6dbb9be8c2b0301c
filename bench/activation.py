"""A warm activation: what the command costs beside Python itself, uv and mise, and what it costs in process."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial

from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.projects import copy_example, mise_project, uv_project
from bench.report import Figure, Line, cpu, difference, ratio
from bench.workspace import ESKER, workspace

CALLS = 200
IN_PROCESS = """
import json, sys, time
from esker import Environment
environment = Environment(sys.argv[1])
costs = []
for call in range(int(sys.argv[3]) + 1):
    cpu, wall = time.process_time(), time.perf_counter()
    environment.activate()
    costs.append((time.process_time() - cpu, time.perf_counter() - wall))
    environment.deactivate()
with open(sys.argv[2], "w") as file:
    json.dump(costs[1:], file)
"""


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as space:
        bare = copy_example(space.directory / "bare", scripts=False)
        whole = copy_example(space.directory / "whole", scripts=True)
        peer = uv_project(space.directory / "uv")
        space.run(space.uv, "sync", "--system-certs", "--python", sys.executable, directory=peer)

        script = space.start_script()
        mise = shutil.which("mise")
        mise_directory = mise_project(space.directory / "mise")
        if mise:
            space.run(mise, "trust", "--quiet", mise_directory / "mise.toml")

        def in_process() -> Cost:
            answer = space.directory / "in-process.json"
            space.run(sys.executable, "-c", IN_PROCESS, bare, answer, str(CALLS))
            calls = sorted(json.loads(answer.read_text()))
            return Cost(*calls[len(calls) // 2])

        subjects = {
            "script": partial(space.run, script, "activate", "-d", bare, "--", "true"),
            "bare": partial(space.run, ESKER, "activate", "-d", bare, "--", "true"),
            "whole": partial(space.run, script, "activate", "-d", whole, "--", "true"),
            "python": partial(space.run, sys.executable, "-c", "pass"),
            "uv": partial(space.run, space.uv, "run", "--frozen", "--offline", "true", directory=peer),
            "in process": in_process,
        }
        if mise:
            subjects["mise"] = partial(space.run, mise, "exec", "--", "true", directory=mise_directory)
        costs = rounds(subjects, count, after=load.look)
        described = machine(space.uv)
    esker = cpu("esker activate -- true", costs["script"], aim=40)
    installed = cpu("the same by the installer's script", costs["bare"], aim=40)
    peers: tuple[Line, ...] = ()
    if mise:
        native = cpu("mise exec -- true", costs["mise"])
        peers = (native, ratio(esker, native))
    python, uv = cpu("python -c pass", costs["python"]), cpu("uv run --frozen --offline true", costs["uv"])
    return Figure(
        name="activation",
        title="a warm activation of examples/items, without its hook unless a line says otherwise",
        machine=described,
        load=load.highest,
        lines=(
            esker,
            python,
            uv,
            difference(esker, python, aim=5),
            installed,
            difference(installed, python, aim=5),
            ratio(esker, uv),
            *peers,
            cpu("esker activate -- true, with the hook", costs["whole"]),
            cpu("Environment.activate()", costs["in process"], aim=2),
        ),
        notes=(
            "`esker` is a start script that `esker shim esker` wrote, unless a line says otherwise.",
            f"Environment.activate() is the median of {CALLS} calls in one process, the first one not counted.",
            *(() if mise else ("There is no mise on PATH to compare with.",)),
        ),
    )
