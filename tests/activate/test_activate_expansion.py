from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.activate.expansion import expanded, needs_bash, quoted

ENVIRON = {"A": "first", "LONG_name_2": "two words", "Q": 'a"b$A`\\', "EMPTY": ""}


def in_bash(value):
    """Return what bash makes of the value, or None if bash refuses it."""
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", f'export V={quoted(value)}\nprintf %s "$V"'],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **ENVIRON},
        capture_output=True,
        check=False,
    )
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "",
        "$A",
        "${A}/x:$LONG_name_2:$A-b",
        "$",
        "a$",
        "$ x $/ $. $% $'A'",
        "$é",
        r"\$A \`x\` \\ \" \n \a",
        "end\\\\",
        'say "hello" $Q',
        "$EMPTY|$NOT_SET|${NOT_SET}",
        "two\nlines\n",
        "'$A'",
        "~ *  ?",
    ],
)
def test_simple_values_mean_what_they_mean_to_bash(value):
    """Python expands names, escapes and single signs as bash does between double quotes."""
    assert not needs_bash(value)
    assert expanded(value, ENVIRON) == in_bash(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$(echo x)", "x"),
        ("`echo x`", "x"),
        ("${A:-d}", "first"),
        ("${NOT_SET:-d}", "d"),
        ("${#A}", "5"),
        ("$((1 + 2))", "3"),
        ("$#", "0"),
        ("a\\\nb", "ab"),
        ("$\\\nA", "first"),
        ("$1", ""),
        ('say "$(echo "$A" "b c")" "x"', 'say "first b c" "x"'),
        ('"${A:+"q $A"}"', '"q first"'),
        ("$(echo ')' '\"')\"", ")" + ' ""'),
        ("$( (echo a); echo 'b' )\"", 'a\nb"'),
        ('`echo "a b" \')\'`"', 'a b )"'),
        (r'\"$(echo "\"")"', '""' + '"'),
        ('${A//"f"/g}', "girst"),
        ("$(echo x)\\", "x\\"),
        ("${A:-d} \\\\\\", "first \\\\"),
    ],
)
def test_other_values_are_for_bash(value, expected):
    """Substitutions, arithmetic and operators need bash; quotes of the value stay, quotes within them are code."""
    assert needs_bash(value)
    assert in_bash(value) == expected


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["$", "A", "{", "}", "\\", '"', "'", " ", "\n", "$A", "${A}", "é", "`", "(", ")"])))
@pytest.mark.slow
def test_python_and_bash_agree_on_every_simple_value(parts):
    """A value that is not left to bash expands to exactly what bash makes of it."""
    value = "".join(parts)
    if not needs_bash(value) and not value.endswith("\\"):
        assert expanded(value, ENVIRON) == in_bash(value)


@pytest.mark.parametrize("part", ["$(", "${A:-", '`"', '$("', "$(("])
def test_deep_nesting_is_quoted(part):
    """A value may nest substitutions and strings as deep as it likes; what is wrong with it, bash says."""
    assert quoted(part * 20_000) == f'"{part * 20_000}"'
