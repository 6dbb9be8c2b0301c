"""Getting from the environments that are entered to those that are wanted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from esker.activate.prompt.transition import Enter, Leave, after, next_transition, wanted

environments = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("12")), max_size=4, unique_by=lambda each: each[0]
).map(tuple)


@given(environments, environments)
def test_steps_lead_to_what_is_wanted(entered, target):
    """Any two lists are joined by few steps, and only what is on top is left or replaced."""
    for _ in range(2 * 4 + 1):
        step = next_transition(entered, target)
        if step is None:
            break
        present = [name for name, _ in entered]
        assert step.dot_flox not in present or step.dot_flox == present[-1]
        entered = after(step, entered)
    assert entered == target


def test_what_stays_is_not_touched():
    """The outer environments stay as they are."""
    assert next_transition((("a", "1"), ("b", "1")), (("a", "1"), ("c", "1"))) == Leave("b")
    assert next_transition((("a", "1"),), (("a", "1"), ("c", "1"))) == Enter("c", "1")


def test_a_changed_environment_is_replaced_in_one_step():
    """A new plan of the newest environment does not first take out the old one; one that lies below has to wait."""
    assert next_transition((("a", "1"),), (("a", "2"),)) == Enter("a", "2")
    assert next_transition((("a", "1"), ("b", "1")), (("a", "2"), ("b", "1"))) == Leave("b")


def test_what_is_wanted():
    """What is not ready stays if it was entered; what lies outside of an explicit environment is not entered."""
    nothing = frozenset()
    assert wanted([("a", "1"), ("b", None)], (), nothing) == (("a", "1"),)
    assert wanted([("a", "1"), ("b", None)], (("b", "0"),), nothing) == (("a", "1"), ("b", "0"))
    assert wanted([("a", "1"), ("b", "1"), ("c", "1")], (), frozenset("b")) == (("c", "1"),)
    assert wanted([("a", "1")], (), frozenset("x")) == (("a", "1"),)
