"""What a step gives to the later steps of a job."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from esker.ship.ci.export import exported

NAMES = st.text("ABab_", min_size=1, max_size=3).filter(lambda name: name != "_")
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=20) | st.sampled_from(
    ["a\nB=1", "d0", "d0\nA<<d1\nx\nd1", "", "\n", "d1\n"]
)


def runner(env, path, before):
    """Do with the files what GitHub's runner does: a value ends at the first line that is its delimiter."""
    after, lines = dict(before), iter(env.split("\n"))
    for line in lines:
        if line:
            name, _, end = line.partition("<<")
            after[name] = "\n".join(itertools.takewhile(lambda each, end=end: each != end, lines))
    after["PATH"] = ":".join([*reversed(path.splitlines()), before["PATH"]])
    return after


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES))
def test_a_runner_has_the_variables_afterwards(before, inside):
    """Values of several lines too, even those that hold a delimiter; what is gone is empty."""
    counted = (f"d{number}" for number in itertools.count())
    before, inside = {**before, "PATH": "/bin"}, {**inside, "PATH": "/env/bin:/bin"}
    made = exported(before, inside, lambda: next(counted))
    assert runner(made.env, made.path, before) == dict.fromkeys(before, "") | inside
    assert made.left_out == ()


def test_delimiters_cannot_be_guessed():
    """Each value has another one."""
    lines = [line.partition("<<") for line in exported({}, {"A": "1", "B": "2"}).env.splitlines() if "<<" in line]
    assert [name for name, _, _ in lines] == ["A", "B"]
    assert len({end for _, _, end in lines}) == 2
    assert all(len(end) == 32 for _, _, end in lines)


def test_path():
    """What has to come first is given in its order; what is gone from the old PATH stays behind it."""
    assert exported({"PATH": "/bin"}, {"PATH": "/a:/b:/bin"}).path == "/b\n/a\n"
    assert exported({"PATH": "/bin:/x"}, {"PATH": "/a:/bin"}).path == "/a\n"
    assert exported({"PATH": "/x:/bin"}, {"PATH": "/a:/bin"}).path == "/bin\n/a\n"
    assert exported({"PATH": "/bin:/x:/bin"}, {"PATH": "/a:/bin:/x"}).path == "/a\n"
    assert exported({"PATH": "/bin"}, {"PATH": "/bin"}).path == ""
    assert exported({"PATH": "/bin"}, {"PATH": "/a\n/evil:/b:/bin"}).path == "/b\n"


def test_what_the_runner_does_not_take_is_named():
    """Its own variables, names that are no words, and values with a carriage return or of bytes that are no text."""
    inside = {
        "GITHUB_TOKEN": "x",
        "NODE_OPTIONS": "x",
        "BASH_FUNC_f%%": "() { :; }",
        "CR": "a\rb",
        "RAW": "\udc80",
        "OK": "1",
    }
    made = exported({}, inside, lambda: "end")
    assert made.env == "OK<<end\n1\nend\n"
    assert made.left_out == ("BASH_FUNC_f%%", "CR", "GITHUB_TOKEN", "NODE_OPTIONS", "RAW")


def test_what_belongs_to_the_shell_is_no_news():
    """SHLVL and the like differ in every process."""
    assert exported({"SHLVL": "1"}, {"SHLVL": "2", "PWD": "/", "_": "/bin/env"}).env == ""
