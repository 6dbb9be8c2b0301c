from __future__ import annotations

import graphlib
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.formats.references import cycle, references, variable_cycle, vars_in_order


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("$A", {"A"}),
        ("a${A}b", {"A"}),
        ("${A:-${B}}", {"A", "B"}),
        ("${A", set()),
        ("${A\n}", {"A"}),
        (r"\$A \${B}", set()),
        (r"\\$A", {"A"}),
        ("$1$_$Aé", {"_", "A"}),
        ("$(A) `A` %A%", set()),
        ("\\", set()),
    ],
)
def test_references(value, names):
    """A reference is `$NAME` or `${NAME` with a closing brace behind it, unless a backslash stands before."""
    assert references(value) == names


def test_order():
    """Each variable stands behind those it needs; where nothing is needed the alphabet decides; itself does not count."""
    variables = {"Z": "", "A": "$C", "B": "$B:$PATH", "C": "$Z"}
    assert [name for name, _ in vars_in_order(variables)] == ["B", "Z", "C", "A"]


def test_loops():
    """A loop is named from its first name in the alphabet, each before one it refers to."""
    assert variable_cycle({"c": "$b", "b": "$a", "a": "$c", "x": "$a"}) == ("a", "c", "b", "a")
    assert cycle({"a": ["b"], "b": []}) == ()
    with pytest.raises(graphlib.CycleError):
        vars_in_order({"a": "$b", "b": "$a"})


NAMES = ["A", "B", "C", "D"]
VALUES = st.lists(st.sampled_from([*(f"${name}" for name in NAMES), "${A}", "\\", "x", "${B"]), max_size=3).map("".join)


@pytest.mark.slow
@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_variables(variables):
    """Either there is a loop, and it is one, or every variable stands behind those it refers to."""
    loop = variable_cycle(variables)
    if loop:
        assert loop[0] == loop[-1]
        assert all(after in references(variables[name]) for name, after in itertools.pairwise(loop))
        return
    ordered = vars_in_order(variables)
    assert dict(ordered) == variables
    seen = set()
    for name, value in ordered:
        assert (references(value) & variables.keys()) - {name} <= seen
        seen.add(name)


def test_many_references_without_a_brace_take_no_time():
    """A manifest of the largest size that opens a brace at each word is read at once: each used to search the whole rest."""
    before = time.process_time()
    assert references("${A" * 150_000) == frozenset()
    assert references("${A" * 150_000 + "}") == {"A"}
    assert time.process_time() - before < 5
