"""Changing directory, allowing, denying and leaving in any order, in real shells that go on from step to step."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.activate.shells.test_activate_shells_at_prompt import HEAD, HOOKS, PROMPTS
from tests.support.projects import write_project
from tests.support.shells import SHELLS

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

PROJECTS = ("a", "a/b", "c")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("cd"), st.sampled_from(["", "a", "a/b", "a/b/d", "c"])),
        st.tuples(st.sampled_from(["allow", "deny"]), st.sampled_from(PROJECTS)),
        st.tuples(st.just("deactivate"), st.just("")),
    ),
    min_size=3,
    max_size=8,
)


class World:
    """Projects in a directory, which were prepared once, and what is allowed of them."""

    def __init__(self, place):
        self.place = place
        self.environ = {
            "PATH": f"{place}/programs:/usr/bin:/bin",
            "HOME": f"{place}/home",
            "ESKER_STORE": f"{place}/store",
            "LANG": "C.UTF-8",
        }
        for name in ("programs", "home", "a/b/d", "c"):
            (place / name).mkdir(parents=True)
        program = place / "programs/esker"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m esker "$@"\n')
        program.chmod(0o755)
        for name in PROJECTS:
            variables = f"[vars]\nNAME = '{name}'\nV_{name[-1]} = '1'\nPATH = '/{name}:$PATH'\n"
            write_project(place / name, HEAD + variables)
            self.esker("activate", "-d", place / name, "--", "true")

    def esker(self, *words):
        """Run the command outside of every project."""
        subprocess.run(["esker", "-q", *words], env=self.environ, cwd=self.place, check=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Give a world that the examples share."""
    return World(tmp_path_factory.mktemp("world"))


class Model:
    """Which environments a shell has to have."""

    def __init__(self):
        self.where, self.allowed, self.entered, self.suppressed = "", set(), [], set()

    def step(self, what, name):
        """Take a step, and the prompt after it."""
        if what == "cd":
            self.where = name
        elif what == "deactivate" and self.entered:
            self.suppressed.add(self.entered.pop())
        elif what == "allow":
            self.allowed.add(name)
        elif what == "deny":
            self.allowed.discard(name)
        here = [each for each in PROJECTS if f"{self.where}/".startswith(f"{each}/")]
        self.suppressed &= set(here)
        self.entered = [each for each in here if each in self.allowed and each not in self.suppressed]

    def variables(self, before):
        """Return what the variables have to be."""
        expected = {"NAME": None, "V_a": None, "V_b": None, "V_c": None, "PATH": before["PATH"]}
        for name in self.entered:
            expected |= {"NAME": name, f"V_{name[-1]}": "1"}
        return expected


@pytest.mark.parametrize("kind", SHELLS, ids=lambda kind: kind.name)
def test_any_order(kind, world):
    """After each step a shell has the variables of just the environments that are allowed where it is."""

    @settings(max_examples=15 if os.environ.get("CI") else 4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def holds(steps):
        for name in PROJECTS:
            world.esker("deny", world.place / name)
        follow(kind, world, [*steps, ("cd", "")])

    holds()


def follow(kind, world, steps):
    """Take the steps in one shell, and compare its variables with the model's after each."""
    with tempfile.TemporaryDirectory() as directory:
        lines, out = [HOOKS[kind.name]], []
        for what, name in [("cd", ""), *steps]:
            out.append(f"{directory}/{len(out)}")
            line = {"cd": f"cd {world.place}/{name}", "deactivate": "esker deactivate"}.get(what)
            lines += [line or f"esker -q {what} {world.place}/{name}", PROMPTS[kind.name], f"env -0 > {out[-1]}"]
        script = Path(directory) / "script"
        script.write_text("\n".join(lines) + "\n")
        subprocess.run([*kind.script, str(script)], env=world.environ, cwd="/", capture_output=True, check=True)
        model, seen = Model(), [read(path) for path in out]
    before = seen[0]
    for found, (what, name) in zip(seen[1:], steps, strict=True):
        model.step(what, name)
        expected = model.variables(before)
        assert {each: found.get(each) for each in expected if each != "PATH"} == {
            each: value for each, value in expected.items() if each != "PATH"
        }
        front = [f"/{name}" for name in reversed(model.entered)]
        assert [part for part in found["PATH"].split(":") if part in {"/a", "/a/b", "/c"}] == front
    if not model.entered and not model.suppressed:
        assert {name: value for name, value in seen[-1].items() if name != "_ESKER_AT_PROMPT"} == before


def read(path):
    """Return the variables that `env -0` wrote."""
    pairs = (entry.split("=", 1) for entry in os.fsdecode(Path(path).read_bytes()).split("\0") if "=" in entry)
    return {name: value for name, value in pairs if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}
