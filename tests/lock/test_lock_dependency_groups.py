"""Dependency groups (PEP 735) that uv and the build backends would refuse are refused when the file is read."""

from __future__ import annotations

import tomllib

import pytest

from esker.formats.tables.positions import positions
from esker.lock.dependency_groups import group_problems


def problems(text):
    """Return the line, the message and the hint of each problem."""
    text = f"[dependency-groups]\n{text}\n"
    found = group_problems(tomllib.loads(text)["dependency-groups"], positions(text))
    return [(each.line, each.message, each.hint) for each in found]


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        (
            'develop = []\ntest = [\n  "six",\n  {include-group = "dveelop"},\n]',
            5,
            "dependency group `test` includes `dveelop`, but there is no dependency group `dveelop`",
            "did you mean `develop`?",
        ),
        ('a = ["b c"]', 2, "dependency group `a`: `b c` is not a requirement: ", 'write it as in "psycopg'),
        (
            "a = [3]",
            2,
            "dependency group `a` has an entry that is neither",
            'write a requirement, or { include-group = "',
        ),
        ("a = [{group = 'b'}]\nb = []", 2, "dependency group `a` has an entry that is neither", "write a requirement"),
        ("a = 'six'", 2, "dependency group `a` is not a list", 'write it as in ["pytest>=8"]'),
        (
            "a = []\nA = []",
            3,
            "the dependency groups `a` and `A` have the same name",
            "put their requirements into one",
        ),
        ("a = [{include-group = 'A'}]", 2, "dependency group `a` includes itself", "take one `include-group` out"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, line, message, hint):
    """Each mistake is named where it stands, with what to do."""
    [(number, told, advice)] = problems(text)
    assert number == line
    assert told.startswith(message)
    assert advice.startswith(hint)


def test_all_are_told_at_once():
    """Two groups that include each other are both named, and so is what is wrong elsewhere."""
    told = problems("a = [{include-group = 'b'}, 1]\nb = [{include-group = 'a'}]\nc = [{include-group = 'zebra'}]")
    assert [message.partition("`")[2][0] for _, message, _ in told] == ["a", "c", "a", "b"]
    assert told[1][2] == "its dependency groups: `a`, `b`, `c`"


def test_groups_as_they_should_be():
    """Requirements with extras, markers and addresses, and groups in any spelling, are all right."""
    assert (
        problems("Dev_all = [\"x[y]>=1; python_version > '3'\", {include-group = \"a.b\"}]\na-b = ['z @ https://x/z']")
        == []
    )
