from __future__ import annotations

import os
import subprocess
import sys

import pytest

from esker.errors import ActivationFailed
from esker.host import variables


def test_assigned_variables_reach_this_process_and_its_children(monkeypatch):
    """A value of any bytes is set for both; None unsets, also what is not set."""
    monkeypatch.setenv("ESKER_TEST_GONE", "x")
    monkeypatch.setenv("ESKER_TEST", "")
    variables.assign({"ESKER_TEST": "a\n\udcff", "ESKER_TEST_GONE": None, "ESKER_TEST_NEVER": None})
    assert variables.current()["ESKER_TEST"] == "a\n\udcff"
    done = subprocess.run(["sh", "-c", 'printf %s "$ESKER_TEST-$ESKER_TEST_GONE"'], capture_output=True, check=True)
    assert done.stdout == b"a\n\xff-"


@pytest.mark.parametrize("wrong", [{"A": "\0"}, {"": "x"}, {"A=B": "x"}, {"\0": None}])
def test_all_variables_are_assigned_or_none(wrong, monkeypatch):
    """What no environment can hold is refused before anything has changed."""
    monkeypatch.setenv("ESKER_TEST", "before")
    with pytest.raises(ActivationFailed, match="cannot be set"):
        variables.assign({"ESKER_TEST": "after", **wrong})
    assert os.environ["ESKER_TEST"] == "before"


@pytest.mark.parametrize(("given", "expected"), [({}, None), ({"LC_CTYPE": "C.UTF-8"}, "C.UTF-8")])
def test_the_locale_that_the_interpreter_chose_is_not_inherited(given, expected):
    """Python sets LC_CTYPE for itself where the locale is C; a caller's own is kept."""
    done = subprocess.run(
        [sys.executable, "-c", "from esker.host.variables import inherited; print(inherited().get('LC_CTYPE'))"],
        env=given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(expected)
