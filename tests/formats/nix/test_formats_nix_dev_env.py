from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.formats.nix import dev_env

GOLDEN = Path(__file__).parent / "golden"
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def test_what_nix_prints():
    """`nix print-dev-env --json` of Nix 2.8 for a shell of tests/support/nixpkgs: every kind of variable is there."""
    env = dev_env.parse((GOLDEN / "print-dev-env-2.8.json").read_text())
    assert env.exported["FOO"] == "a\nb"
    assert env.others["preConfigureHooks"] == ('echo "a hook"', "two\nlines")
    assert isinstance(env.others["seenInputs"], dict)
    assert env.others["initialPath"] == "/usr /"
    assert "addToSearchPath" in env.functions
    assert env.attributes == {}


@given(
    st.dictionaries(NAMES, TEXTS, max_size=4),
    st.dictionaries(NAMES, st.one_of(TEXTS, st.lists(TEXTS), st.dictionaries(TEXTS, TEXTS)), max_size=4),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
)
def test_any_environment(exported, others, functions):
    """What is written in Nix's form is read as it was."""
    kinds = {str: "var", list: "array", dict: "associative"}
    others = {name: value for name, value in others.items() if name not in exported}
    variables = {name: {"type": "exported", "value": value} for name, value in exported.items()}
    variables |= {name: {"type": kinds[type(value)], "value": value} for name, value in others.items()}
    text = json.dumps({"variables": {**variables, "x1_y": {"type": "unknown"}}, "bashFunctions": functions})
    env = dev_env.parse(text)
    assert env.exported == {name: value for name, value in exported.items() if name != "x1_y"}
    assert {name: list(value) if isinstance(value, tuple) else value for name, value in env.others.items()} == {
        name: value for name, value in others.items() if name != "x1_y"
    }
    assert env.functions == functions


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "not an object"),
        ("{", "Expecting"),
        ('{"variables": []}', "`variables` is not an object"),
        ('{"variables": {"A": 1}}', "`A` is not a variable"),
        ('{"variables": {"A B": {"type": "var", "value": ""}}}', "`A B` is not a variable"),
        ('{"variables": {"A": {"type": "exported", "value": 1}}}', "`A` is not a text"),
        ('{"variables": {"A": {"type": "exported", "value": "\\u0000"}}}', "`A` is not a text"),
        ('{"variables": {"A": {"type": "nameref", "value": "B"}}}', "of the type `nameref`, which is not known"),
        ('{"variables": {"A": {"type": "array", "value": "B"}}}', "of the type `array`"),
        ('{"bashFunctions": {"f": 1}}', "`f` is not a text"),
    ],
)
def test_malformed_texts(text, says):
    """Each is refused with what is wrong."""
    with pytest.raises(ValueError, match=says):
        dev_env.parse(text)


def test_outputs_lie_below_the_project():
    """As `nix develop` says it, in every text."""
    env = dev_env.DevEnv(
        {"outputs": "out dev", "out": "/nix/store/a", "dev": "/nix/store/b", "X": "-L/nix/store/a/lib"},
        {"list": ("/nix/store/b/x",), "table": {"k": "/nix/store/a"}, "plain": "/nix/store/b"},
        {"f": "echo /nix/store/a"},
    )
    found = dev_env.without_outputs(env, "/p/outputs")
    assert found.exported == {
        "outputs": "out dev",
        "out": "/p/outputs/out",
        "dev": "/p/outputs/dev",
        "X": "-L/p/outputs/out/lib",
    }
    assert found.others == {"list": ("/p/outputs/dev/x",), "table": {"k": "/p/outputs/out"}, "plain": "/p/outputs/dev"}
    assert found.functions == {"f": "echo /p/outputs/out"}


def test_outputs_of_structured_attributes():
    """They are a table of paths by name, and need no variable each."""
    env = dev_env.DevEnv({"X": "/nix/store/a/lib"}, {"outputs": {"out": "/nix/store/a"}}, {})
    found = dev_env.without_outputs(env, "/p/outputs")
    assert (found.exported["X"], found.others["outputs"]) == ("/p/outputs/out/lib", {"out": "/p/outputs/out"})
