"""The variable in which a shell remembers what to undo, when it holds something else than we have written."""

from __future__ import annotations

import base64
import json
import random
import string
import tracemalloc
import zlib

import pytest

from esker.activate.difference import Activation
from esker.activate.shells import undo
from esker.errors import ActivationFailed
from tests.support.plans import a_plan

STATE = {
    "edits": {
        "base": {"PATH": "/bin", "A": None},
        "given": {"PATH": "/p/bin:/bin", "A": "1"},
        "entries": [["/p/.flox", {"set": {"A": "1"}, "unset": [], "prepend": {"PATH": ["/p/bin"]}, "append": {}}]],
    },
    "ends": {"/p/.flox": {"link": "/p/.flox/run/x", "scripts": {"bash": "true"}, "prompt": None}},
}


def packed(text):
    """Return a text in the form of the variable."""
    return base64.urlsafe_b64encode(zlib.compress(text.encode())).decode()


def left(value):
    """Return how a shell with this value of the variable leaves its environment."""
    return undo.leave({undo.VARIABLE: value, "PATH": "/p/bin:/bin", "A": "1"})


def test_a_whole_state_is_undone():
    """The variables get back what they had."""
    departure = left(packed(json.dumps(STATE)))
    assert departure.changes == {"A": None, "PATH": "/bin", undo.VARIABLE: None}
    assert departure.scripts == {"bash": "true"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("edits", "base"), {}),
        (("edits", "base"), None),
        (("edits", "base", "A"), 7),
        (("edits", "base", "PATH"), ["/bin"]),
        (("edits", "base", "A"), "\0"),
        (("edits", "base", "A"), "\ud800"),
        (("edits", "given"), {"A": "1"}),
        (("edits", "given", "OTHER"), "1"),
        (("edits", "entries"), {"/p/.flox": {}}),
        (("edits", "entries", 0), ["/p/.flox", []]),
        (("edits", "entries", 0, 0), "/q/.flox"),
        (("edits", "entries", 0, 1, "set"), ["A"]),
        (("edits", "entries", 0, 1, "unset"), [["A"]]),
        (("edits", "entries", 0, 1, "prepend"), {"A": ["x"]}),
        (("edits", "entries", 0, 1, "colour"), "red"),
        (("ends",), []),
        (("ends", "/p/.flox"), {}),
        (("ends", "/p/.flox", "link"), None),
        (("ends", "/p/.flox", "scripts"), ["true"]),
        (("ends", "/p/.flox", "scripts", "bash"), {}),
        (("ends", "/p/.flox", "prompt"), {"before": 1}),
        (("ends", "/p/.flox", "prompt"), {"before": "$ ", "after": "> ", "exported": "yes"}),
    ],
)
def test_a_state_that_is_not_ours_is_nothing_to_undo(path, value):
    """Whatever part of it has another form, the shell is told that no environment is active, and no error is met."""
    state = json.loads(json.dumps(STATE))
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert left(packed(json.dumps(state))) is None


@pytest.mark.parametrize("text", ["", "7", "[]", "{}", "[" * 60_000, '{"a":' * 60_000])
def test_a_text_that_is_no_state_is_nothing_to_undo(text):
    """However deep it is."""
    assert left(packed(text)) is None


def test_a_small_variable_that_unpacks_to_gigabytes_takes_no_memory():
    """What is larger than any state is not unpacked."""
    value = packed(f'{{"a": "{"a" * (80 << 20)}"}}')
    assert len(value) < 131_072
    tracemalloc.start()
    assert left(value) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20


def test_what_would_keep_a_shell_from_starting_programs_is_refused():
    """Each program is given the variable; one that a person could never undo must not come into their shell either."""
    large = Activation(set={"A": "".join(random.Random(1).choices(string.ascii_letters, k=80_000))})
    plan, environ = a_plan(), {"PATH": "/bin"}
    with pytest.raises(ActivationFailed, match="of `app` are too large to be undone"):
        undo.enter(plan, environ, lambda _: large)
    assert undo.memory(plan, environ, large) == {}
    small = Activation(set={"A": "1"})
    entered = undo.enter(plan, environ, lambda _: small)
    assert undo.memory(plan, environ, small) == {undo.VARIABLE: entered[undo.VARIABLE]}
    inside = {**environ, "A": "1", undo.VARIABLE: entered[undo.VARIABLE]}
    assert undo.with_profile({**inside, **large.set, "B": large.set["A"][::-1]}, inside, ["B"], (None, None)) is None
