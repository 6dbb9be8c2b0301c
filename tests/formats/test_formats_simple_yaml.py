"""The part of YAML that environment files use is read as YAML reads it, and the rest is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.formats.simple_yaml import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n\n---\n", None),
        ("a: b", {"a": "b"}),
        ("---\na: 3.10\nb:\n", {"a": "3.10", "b": None}),
        ("a: b # c\nd: e#f\r\n", {"a": "b", "d": "e#f"}),
        ('"a b": \'it\'\'s\'\nc: "x\\"y\\\\" # z', {"a b": "it's", "c": 'x"y\\'}),
        ("a: # c\n  - b\n", {"a": ["b"]}),
        ("a:\n- b\n- c\nd: e", {"a": ["b", "c"], "d": "e"}),
        ("a:\n  -   b\n  -\n    c: d\n  - # e\n    - f\n", {"a": ["b", {"c": "d"}, ["f"]]}),
        ("a:\n  - pip:\n    - b\n    - c\n  - d\n", {"a": [{"pip": ["b", "c"]}, "d"]}),
        ("a:\n  - pip:\n      - b\n    x: y\n", {"a": [{"pip": ["b"], "x": "y"}]}),
        ("a:\n- pip:\n  - b\n- c", {"a": [{"pip": ["b"]}, "c"]}),
        ("a: [b, 'c', ] # d", {"a": ["b", "c"]}),
        ("a: []", {"a": []}),
        ("- - a\n  - b\n- c", [["a", "b"], "c"]),
        ("a:\n  b:\n    c: d\n  e: f", {"a": {"b": {"c": "d"}, "e": "f"}}),
        ("a:\n-\n- b", {"a": [None, "b"]}),
        ("a: https://x.example/c", {"a": "https://x.example/c"}),
        ("- -e .", ["-e ."]),
        ("- python>=3,<4 # x", ["python>=3,<4"]),
    ],
)
def test_what_is_read(text, value):
    """Scalars are texts, an empty value is None, and comments need a space before them."""
    assert parse(text) == value


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: &b c", 1, "an anchor"),
        ("a: *b", 1, "a reference to an anchor"),
        ("a: !!str b", 1, "a tag"),
        ("a: |\n  b", 1, "a text of several lines"),
        ("a: >-\n  b", 1, "a text of several lines"),
        ("a: {b: c}", 1, "a mapping in braces"),
        ("a: [b,\n  c]", 1, "a list in brackets that is not on one line"),
        ("a: [[b]]", 1, "a list in brackets that is not on one line"),
        ("a: b\n---\nc: d", 2, "a second document"),
        ("a:\n\tb: c", 2, "a tab"),
        ("a: b\na: c", 2, "`a` stands there twice"),
        ("a: b\n  c", 2, "its indentation does not fit the lines above"),
        ("a:\n    b: c\n  d: e", 3, "its indentation does not fit the lines above"),
        ("a:\n  - b\n - c", 3, "its indentation does not fit the lines above"),
        ("a: b\n- c", 2, "it is not `KEY: VALUE`"),
        ("a", 1, "it is neither `KEY: VALUE` nor `- VALUE`"),
        ('a: "b', 1, "a quoted text with escapes, or without its end"),
        ('a: "b\\n"', 1, "a quoted text with escapes, or without its end"),
        ("a: 'b' c", 1, "a quoted text with escapes, or without its end"),
        ("a: b: c", 1, "a second `:`"),
        ("- a b: c", 1, "a second `:`"),
        ("a: `b`", 1, "a reserved character"),
        ("a: @b", 1, "a reserved character"),
        ("a: %b", 1, "a directive"),
        ("- " * 20 + "a", 1, "too many levels"),
    ],
)
def test_what_is_refused(text, line, what):
    """The error names the line, and what is there."""
    with pytest.raises(ValueError, match="YAML that Esker does not read") as caught:
        parse(text)
    assert str(caught.value) == f"line {line} has YAML that Esker does not read: {what}"


def test_a_big_file_is_refused():
    """The limit is that of files which people write."""
    with pytest.raises(ValueError, match="more than 512 KiB"):
        parse("#" * (1 << 19) + "\n")


def written(value, indent=0):
    """Write a value as environment files are written."""
    pad = " " * indent
    if isinstance(value, dict):
        return "".join(f"{pad}{key}:{_after(each, indent)}" for key, each in value.items())
    return "".join(f"{pad}-{_after(each, indent)}" for each in value)


def _after(value, indent):
    if isinstance(value, str):
        return " '" + value.replace("'", "''") + "'\n"
    return f"\n{written(value, indent + 2)}" if value else " []\n" if isinstance(value, list) else "\n"


TEXTS = st.text("ab1#:-=[{&*!|'\" \\é", max_size=8)
KEYS = st.sampled_from(["a", "b-c", "_d.0", "pip"])
NESTED = st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, min_size=1))


@given(st.dictionaries(KEYS, NESTED))
def test_round_trip(value):
    """What is written in this part of YAML is read as it was."""
    assert parse(written(value)) == (value or None)


@given(st.text(st.sampled_from("ab:-#[]{}'\"\\ \n\r\t,&*|>!%@?") | st.characters(), max_size=60))
def test_any_text(text):
    """A text is read or refused, and nothing else happens."""
    with suppress(ValueError):
        parse(text)
