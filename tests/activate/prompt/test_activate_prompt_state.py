"""What the prompt remembers in a shell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.activate.prompt.state import VARIABLE, State, parse, render, suppressed

texts = st.text(max_size=5)
states = st.builds(
    State,
    st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
    st.dictionaries(texts, texts, max_size=3),
)


@given(states)
def test_round_trip(state):
    """What is written is read, and nothing to remember is no variable."""
    text = render(state)
    assert (text is None) == (state == State())
    assert parse({} if text is None else {VARIABLE: text}) == state


@pytest.mark.parametrize("text", ["", "x", "[]", '{"entered": [1]}', '{"told": []}', '{"suppressed": [1]}', "1e999"])
def test_what_we_cannot_have_written_counts_as_nothing(text):
    """A variable of somebody else is no state."""
    assert parse({VARIABLE: text}) == State()


def test_an_environment_that_the_user_has_left():
    """It is suppressed if the prompt has entered it; any other is none of the prompt's business."""
    environ = {VARIABLE: render(State((("/a", "1"), ("/b", "2"))))}
    (text,) = suppressed(environ, "/b").values()
    assert parse({VARIABLE: text}) == State((("/a", "1"),), ("/b",))
    assert suppressed(environ, "/c") == {}
