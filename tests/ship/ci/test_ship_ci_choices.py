"""What a workflow remembers of the command line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import NotEditable
from esker.ship.ci.choices import TOOLS, Choices, line, recorded

COMMANDS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" \n\t"), min_size=1).filter(
    lambda text: text.strip() and "${{" not in text
)
CHOICES = st.builds(
    Choices,
    st.lists(COMMANDS, max_size=3).map(tuple),
    st.sampled_from([None, *TOOLS]),
    st.sampled_from(["", "./", "a/b@v1"]),
    st.sampled_from(["", "ruby:3.4"]),
    st.booleans(),
)
JSON = st.sampled_from([None, True, False, 0, "", "a b", "./", "${{ x }}", "nix", [], ["make"], [1], [["a"]], {}])


@given(CHOICES)
def test_a_file_remembers_what_was_chosen(choices):
    """It does so on one line, whatever the commands are; without a choice there is no line."""
    lines = line(choices)
    assert len("\n".join(lines).splitlines()) == (choices != Choices())
    assert recorded("\n".join(["# Written", *(lines or ["name: x"]), "a: 1"]), "ci.yml") == choices


@given(st.dictionaries(st.sampled_from(["test", "through", "action", "image", "without-packages"]), JSON))
def test_a_line_that_says_something_else(value):
    """It gives choices that Esker would write the same way, or an error that names the line."""
    text = f"# Written\n# Options: {json.dumps(value)}\n"
    try:
        choices = recorded(text, "ci.yml")
    except NotEditable as error:
        place = error.place
    else:
        place = "ci.yml:2"
        assert recorded("\n".join(["# Written", *line(choices)]), "ci.yml") == choices
    assert place == "ci.yml:2"


def test_what_comes_first():
    """A choice stays where there is one, field by field; what somebody else says need not be remembered."""
    ours, theirs = Choices(("a",), image="x"), Choices(("b",), "nix", without_packages=True)
    assert ours.over(theirs) == Choices(("a",), "nix", "", "x", without_packages=True)
    assert ours.without(theirs) == Choices(image="x")


@pytest.mark.parametrize("text", ["", "one", "# Options: {}"])
def test_files_without_the_line(text):
    """The line is the second, and nowhere else."""
    assert recorded(text, "ci.yml") == Choices()
