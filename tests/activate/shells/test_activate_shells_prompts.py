"""Prompts that bash makes anew each time: the names of the environments, and the status of the last command."""

from __future__ import annotations

import pytest

from tests.support.shells import SHELLS, Person

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

ACTIVATE = 'eval "$(esker activate)"'


@pytest.fixture
def person(environ, tmp_path):
    """Give somebody who uses bash."""
    return Person(SHELLS[0], environ, tmp_path)


ANEW = {
    "a text": "PROMPT_COMMAND='S=$?; PS1=\"$S anew> \"'",
    "a text that ends in a separator": "PROMPT_COMMAND='S=$?; PS1=\"$S anew> \"; '",
    "a list": "PROMPT_COMMAND=('S=$?' 'PS1=\"$S anew> \"')",
    "a list of one": "PROMPT_COMMAND=('S=$?; PS1=\"$S anew> \"')",
    "exported": "export PROMPT_COMMAND='S=$?; PS1=\"$S anew> \"'",
    "strict": "set -u; PROMPT_COMMAND='S=$?; PS1=\"$S anew> \"'",
}


@pytest.mark.parametrize("setting", ANEW.values(), ids=ANEW)
def test_a_prompt_that_is_made_anew_each_time(person, setting):
    """PROMPT_COMMAND goes on, with the status of the last command, and so do the names; leaving gives it back."""
    person.project()
    below = "echo exit | bash --norc -i 2>&1 | grep -c 'not found'"
    shown = person.typed(
        "declare -p PROMPT_COMMAND",
        ACTIVATE,
        "(exit 7)",
        below,
        "esker deactivate",
        "declare -p PROMPT_COMMAND",
        rc=setting,
    )
    assert "esker [project] 7 anew> " in shown
    assert "\n0\n" in shown
    declared = [line for line in shown.splitlines() if line.startswith("declare -") and "=" in line]
    assert len(declared) == 2
    assert declared[0] == declared[1]
    assert "esker [" not in shown.rpartition("declare -")[2]


def test_environments_share_one_place_in_the_prompt(person):
    """A second environment adds its name and nothing else to PROMPT_COMMAND."""
    person.project()
    person.project(name="second")
    inner = 'eval "$(esker activate -d ../second)"'
    shown = person.typed(ACTIVATE, inner, "echo ${PROMPT_COMMAND[@]} | wc -l", rc=ANEW["a text"])
    assert "esker [second project] 0 anew> " in shown
    assert shown.count("_esker_again") == 0
