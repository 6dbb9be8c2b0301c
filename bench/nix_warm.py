"""A warm activation of a flake, against `nix develop`.

One flake is trivial, one has a shellHook as well, and one takes about a second to evaluate. Nix 2.8 keeps an evaluation
until a file of the flake changes; so the last one is evaluated with `--no-eval-cache`, as a shell.nix is each time.
The flake with a shellHook has as many functions as a build environment of nixpkgs: Nix and Esker give them to the hook.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench.machine import Load, machine
from bench.measure import rounds
from bench.report import Figure, ratio, wall
from bench.workspace import workspace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.workspace import Workspace

FEATURES = ("--extra-experimental-features", "nix-command flakes")
SETTINGS = "substituters =\nsandbox = false\nbuild-users-group =\nflake-registry =\n"
SETUP = "export PATH=/usr/bin:/bin\nlist=(one two)\nrunHook() { :; }\n"
FUNCTION = """\
phase%(number)d() {
    local -r name=$1; local each
    for each in "${@:2}"; do
        if [[ -n ${each:-} && $each != -* ]]; then printf '%%s\\n' "$name: ${each//x/y}" >&2; fi
    done
    runHook "post${name^}" || return
}
array%(number)d=(one two "three %(number)d")
"""
FUNCTIONS = 100
HOOK = """
export FROM_HOOK=1
alias be='bundle exec'
bundle() { command bundle "$@"; }
list=(one "two three")
"""
FLAKE = """\
{
  outputs = { self }: {
    devShells.%(system)s.default = derivation {
      name = "shell";
      system = "%(system)s";
      builder = "/bin/bash";
      args = [ "-c" "" ];
      outputs = [ "out" ];
      stdenv = ./stdenv;
      shellHook = ''%(hook)s'';
      VALUE = toString (%(value)s);
    };
  };
}
"""
SLOW = "let f = n: if n < 2 then n else f (n - 1) + f (n - 2); in f 32"


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as plain:
        space = replace(plain, environment={**plain.environment, **_nix(plain.directory)})
        script = space.start_script()
        subjects = {}
        flakes = {"trivial": ("1", ""), "hook": ("1", HOOK), "slow": (SLOW, "")}
        for name, (value, hook) in flakes.items():
            project = _project(space, name, value, hook)
            space.run(script, "activate", "-d", project, "--", "true")
            subjects[f"esker {name}"] = partial(space.run, script, "activate", "-d", project, "--", "true")
            words = ("develop", *(("--no-eval-cache",) if name == "slow" else ()), "-c", "true")
            subjects[f"nix {name}"] = partial(space.run, "nix", *FEATURES, *words, directory=project)
            subjects[f"nix {name}"]()
        costs = rounds(subjects, count, after=load.look)
        described = machine(space.uv)
    esker, slow = wall("esker activate -- true", costs["esker trivial"]), wall("the same, slow", costs["esker slow"])
    hook, nix_hook = wall("with a shellHook", costs["esker hook"]), wall("the same of Nix, with it", costs["nix hook"])
    nix, nix_slow = wall("nix develop -c true", costs["nix trivial"]), wall("the same of Nix, slow", costs["nix slow"])
    return Figure(
        name="nix-warm",
        title="a warm activation of a flake",
        machine=described,
        load=load.highest,
        lines=(
            *(esker, nix, ratio(esker, nix, aim=1 / 1.5)),
            *(hook, nix_hook, ratio(hook, nix_hook)),
            *(slow, nix_slow, ratio(slow, nix_slow, aim=1 / 20)),
        ),
        notes=(
            "`esker` is a start script that `esker shim esker` wrote.",
            "The slow flake is evaluated each time by Nix, with --no-eval-cache.",
        ),
    )


def _nix(directory: Path) -> Mapping[str, str]:
    """Return the variables of a Nix with a store of its own."""
    settings = directory / "conf"
    settings.mkdir()
    (settings / "nix.conf").write_text(SETTINGS)
    return {
        "NIX_CONF_DIR": str(settings),
        "NIX_STORE_DIR": str(directory / "nix/store"),
        "NIX_STATE_DIR": str(directory / "nix/var/nix"),
        "NIX_LOG_DIR": str(directory / "nix/var/log"),
    }


def _project(space: Workspace, name: str, value: str, hook: str) -> Path:
    project = space.directory / name
    (project / "stdenv").mkdir(parents=True)
    functions = [FUNCTION % {"number": number} for number in range(FUNCTIONS if hook else 0)]
    (project / "stdenv/setup").write_text(SETUP + "".join(functions))
    system = f"{os.uname().machine}-linux"
    (project / "flake.nix").write_text(FLAKE % {"system": system, "value": value, "hook": hook})
    space.run("git", "init", "--quiet", directory=project)
    space.run("git", "add", "--all", directory=project)
    return project
