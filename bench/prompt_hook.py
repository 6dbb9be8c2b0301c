"""A prompt with the hook: nothing changed, and a project entered, against `mise hook-env` and direnv."""

from __future__ import annotations

import shutil
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.mise import ABSENT, installed
from bench.projects import mise_project, with_manifest
from bench.report import Figure, Line, cpu, difference, wall
from bench.workspace import Workspace, workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

"""The package of npm that has the program."""
PROMPTS = 2000
PEER_PROMPTS = 20
SHELLS = {
    "bash": ("bash", "--norc", 'for ((i = 0; i < {}; i++)); do eval "$PROMPT_COMMAND"; done'),
    "zsh": ("zsh", "-f", "repeat {} {{ _esker_at_prompt }}"),
    "fish": ("fish", "--no-config", "for i in (seq {}); emit fish_prompt; end"),
}
"""The arguments of a shell without start-up files, and a script that does what it does before so many prompts."""
HEAD = 'schema-version = "1.14.0"\n[vars]\nA = "1"\n'
SETTLED = 2.1
"""Seconds after which a file that was just written no longer counts as changed."""


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as space:
        esker = space.start_script()
        plain = with_manifest(HEAD, space.directory / "plain")
        hooked = with_manifest(f"{HEAD}[hook]\non-activate = 'export B=1'\n", space.directory / "hooked")
        for project in (plain, hooked):
            space.run(esker, "activate", "--", "true", directory=project)
            space.run(esker, "-q", "allow", directory=project)
        time.sleep(SETTLED)
        subjects: dict[str, Callable[[], Cost]] = {
            name: partial(_prompts, space, name, PROMPTS, plain, _hook(space, esker, name))
            for name in SHELLS
            if shutil.which(name)
        }
        hook = _hook(space, esker, "bash")
        subjects |= {
            "outside": partial(_prompts, space, "bash", 0, plain, hook),
            "plain": partial(_prompts, space, "bash", 1, plain, hook, each=False),
            "hooked": partial(_prompts, space, "bash", 1, hooked, hook, each=False),
        }
        peers, notes = _peers(space)
        costs = rounds(subjects | peers, count, after=load.look)
        described = machine(space.uv)
    unchanged = [wall(f"a prompt of {name}, nothing changed", costs[name], aim=1) for name in SHELLS if name in costs]
    outside = cpu("bash with the hook and no prompt", costs["outside"])
    entered = [
        cpu("the same, and a prompt that enters a project", costs["plain"]),
        cpu("the same, and a prompt that enters one with a hook", costs["hooked"]),
    ]
    return Figure(
        name="prompt-hook",
        title="what a prompt costs",
        machine=described,
        load=load.highest,
        lines=(
            *unchanged,
            *_lines(peers, costs),
            outside,
            *entered,
            difference(entered[0], outside, aim=25),
            difference(entered[1], outside, aim=45),
        ),
        notes=(
            f"A prompt at which nothing has changed is one of {PROMPTS:,} in a shell, a peer's one of {PEER_PROMPTS}.",
            *notes,
        ),
    )


def _hook(space: Workspace, esker: str, name: str) -> str:
    done = subprocess.run(
        [esker, "hook", name], env=dict(space.environment), capture_output=True, text=True, check=True
    )
    return done.stdout


def _prompts(space: Workspace, name: str, count: int, project: Path, hook: str, *, each: bool = True) -> Cost:
    """Return the cost of one prompt of so many in a project, or with `each` false the cost of the shell with them."""
    program, option, loop = SHELLS[name]
    script = space.directory / f"script.{name}"
    script.write_text(f"{hook}\n{loop.format(count)}\n", encoding="utf-8")
    cost = space.run(program, option, script, directory=project)
    return Cost(cost.cpu / count, cost.wall / count) if count and each else cost


def _peers(space: Workspace) -> tuple[dict[str, Callable[[], Cost]], list[str]]:
    """Return what the peers do at a prompt in a project of theirs, and why one takes no part."""
    peers: dict[str, Callable[[], Cost]] = {}
    notes = []
    if mise := installed(space):
        directory = mise_project(space.directory / "mise")
        space.run(mise, "trust", "--quiet", directory / "mise.toml")
        peers["mise hook-env"] = partial(_peer, space, f'eval "$({mise} hook-env -s bash)"', directory)
    else:
        notes.append(ABSENT)
    if direnv := shutil.which("direnv"):
        directory = space.directory / "direnv"
        directory.mkdir()
        (directory / ".envrc").write_text("export A=1\n", encoding="utf-8")
        space.run(direnv, "allow", directory / ".envrc")
        peers["direnv export"] = partial(_peer, space, f'eval "$({direnv} export bash 2>/dev/null)"', directory)
    else:
        notes.append("direnv takes no part: it is not on PATH.")
    return peers, notes


def _peer(space: Workspace, line: str, directory: Path) -> Cost:
    script = space.directory / "peer.bash"
    script.write_text(f"for ((i = 0; i < {PEER_PROMPTS}; i++)); do {line}; done\n", encoding="utf-8")
    cost = space.run("bash", "--norc", script, directory=directory)
    return Cost(cost.cpu / PEER_PROMPTS, cost.wall / PEER_PROMPTS)


def _lines(peers: dict[str, Callable[[], Cost]], costs: dict[str, tuple[Cost, ...]]) -> list[Line]:
    return [wall(f"`{name}` at a prompt, nothing changed", costs[name]) for name in peers]
