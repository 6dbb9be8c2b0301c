"""Entering, leaving and editing in any order, in real shells that go on from step to step."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esker.activate.difference import Activation
from esker.activate.lists import elements
from esker.activate.shells import undo
from esker.activate.shells.shell import shell
from tests.support import plans
from tests.support.shells import SHELLS

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

VALUES = ["", "x", "it's", '"', "\n", "a\nexport EVIL=1\n", "\udcff", "$(exit)`", "!x", "é \\"]
NAMES = ["one", "two", "three"]

scalars = st.dictionaries(st.sampled_from(["A", "B"]), st.sampled_from(VALUES))
lists = st.dictionaries(
    st.sampled_from(["PATH", "CPATH", "XDG_DATA_DIRS"]),
    st.lists(st.sampled_from(["/e1", "/e 2"]), max_size=2, unique=True),
)
differences = st.builds(
    lambda values, front, unset: {
        "set": {name: value for name, value in values.items() if name not in unset},
        "unset": sorted(unset),
        "prepend": front,
    },
    scalars,
    lists,
    st.sets(st.sampled_from(["A", "B"]), max_size=1),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from(NAMES), differences),
        st.tuples(st.just("leave"), st.none(), st.none()),
        st.tuples(st.just("edit"), st.sampled_from(["A", "B", "OWN"]), st.none() | st.sampled_from(VALUES)),
        st.tuples(st.just("add"), st.sampled_from(["PATH", "CPATH"]), st.sampled_from(["/mine1", "/mine2"])),
    ),
    min_size=2,
    max_size=8,
)
originals = st.fixed_dictionaries(
    {},
    optional={"A": st.sampled_from(VALUES), "B": st.sampled_from(VALUES), "CPATH": st.sampled_from(["/o", "/o:/o2"])},
)


class Running:
    """A shell that evaluates files one after the other, and writes its variables after each."""

    def __init__(self, kind, environ):
        self.kind = kind
        self._place = tempfile.TemporaryDirectory()
        self._text, self._out = Path(self._place.name) / "text", Path(self._place.name) / "out"
        # Fish reads all of its input before it begins.
        loop = ["-c", "while read -l line; eval $line; end"] if kind.name == "fish" else []
        self._process = subprocess.Popen(
            [*kind.script, *loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ
        )

    def evaluate(self, text):
        """Evaluate a text, and return the variables afterwards."""
        self._text.write_bytes(os.fsencode(text))
        line = self.kind.evaluated(f"/bin/cat {self._text}")
        self._process.stdin.write(f"{line}\n/usr/bin/env -0 > {self._out}\n/bin/echo done\n".encode())
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert said == b"done\n", said
        pairs = (entry.split("=", 1) for entry in os.fsdecode(self._out.read_bytes()).split("\0") if "=" in entry)
        return {name: value for name, value in pairs if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}

    def end(self):
        """End the shell."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._place.cleanup()


class Model:
    """What the variables have to be: those of a process in which `undo` is applied without any shell."""

    def __init__(self, environ):
        self.environ = dict(environ)

    def change(self, changes):
        """Take changes over."""
        self.environ = {name: value for name, value in {**self.environ, **changes}.items() if value is not None}


def plan(name):
    """Return the plan of an environment that has nothing but its name."""
    return plans.a_plan(f"/p/{name}", name=name)


def edited(running, model, name, value):
    """Return the text with which a user sets or unsets a variable; the renderer writes it, as it writes others."""
    from esker.activate.shells.steps import Variables

    model.change({name: value})
    renderer = shell(running.kind.name)._renderer
    return renderer.evaluated([Variables({name: value})], model.environ)


@pytest.mark.parametrize("kind", SHELLS, ids=lambda kind: kind.name)
def test_any_order(kind):
    """The shell has the variables of the model after each step, and the original ones when all is left and unedited."""

    @settings(max_examples=60 if os.environ.get("CI") else 25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(originals, steps)
    def holds(original, steps):
        environ = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", **original}
        running = Running(kind, environ)
        try:
            before = running.evaluate("")
            follow(running, Model(before), steps, before)
        finally:
            running.end()

    holds()


def follow(running, model, steps, before):
    """Take the steps in the shell and in the model, then leave everything."""
    renderer, mine, after = shell(running.kind.name), set(), before
    for what, name, value in [*steps, *[("leave", None, None)] * len(NAMES)]:
        text = ""
        if what == "enter":
            found = Activation(**value)
            text = renderer.in_place(plan(name), model.environ, lambda _: found)  # noqa: B023 - called at once
            model.change(undo.enter(plan(name), model.environ, lambda _: found))  # noqa: B023 - called at once
        elif what == "leave":
            departure = undo.leave(model.environ)
            if departure is None:
                continue
            text = renderer.deactivation(model.environ)
            model.change(departure.changes)
        elif what == "edit":
            mine.add(name)
            text = edited(running, model, name, value)
        else:
            mine.add(name)
            parts = elements(name, model.environ.get(name))
            text = edited(running, model, name, ":".join([*parts, value]))
        after = running.evaluate(text)
        assert after == model.environ, (what, name, value)
    assert undo.VARIABLE not in after
    assert {name: value for name, value in after.items() if name not in mine} == {
        name: value for name, value in before.items() if name not in mine
    }
