"""YAML as it is written into workflows, read again by a reader of YAML."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from esker.ship.ci import yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "no",
        "1",
        "0x1f",
        "~",
        "a: b",
        "- a",
        "# a",
        "'",
        '"',
        "\\",
        "${{ x }}",
        "a\nb",
        "a\n\nb\n",
        " a\nb",
        "\u2028\x85",
        "<<",
    ]
)
VALUES = st.recursive(
    TEXTS | st.integers(-5, 70000) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_a_reader_finds_what_was_written(value):
    """Whatever a text looks like, it stays that text: nothing in it becomes a key, a comment or a number."""
    assert YAML(typ="safe", pure=True).load("\n".join(yaml.lines(value))) == value


def test_several_lines_are_shown_as_such():
    """A command of several lines can be read, where that says the same."""
    assert yaml.lines({"run": "set -e\nmake"}) == ["run: |-", "  set -e", "  make"]
    assert yaml.lines([{"a": ["b", {"c": ""}], "d": []}]) == ["- a:", "    - b", '    - c: ""', "  d: []"]
