"""The demo, with a stand-in for Esker that writes down what it is asked."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

DEMO = pathlib.Path(__file__).parents[2] / "script/demo"


@pytest.fixture
def run_demo(tmp_path):
    """Give a function that runs a copy of the demo, where the commands named fail, and returns what Esker was asked."""
    (tmp_path / "script").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy(DEMO, tmp_path / "script/demo")
    for name, text in {
        "script/prepare": "exit 0",
        ".venv/bin/esker": f'echo "$1" >> {tmp_path}/asked; case " $FAILING " in *" $1 "*) exit 1 ;; esac',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def run(failing=""):
        done = subprocess.run(
            [tmp_path / "script/demo"],
            env={"PATH": "/usr/bin:/bin", "FAILING": failing},
            capture_output=True,
            text=True,
            check=False,
        )
        return done, (tmp_path / "asked").read_text().split()

    return run


def test_what_the_doctor_misses_does_not_end_the_demo(run_demo):
    """The demo needs neither uv nor a network when everything is made: it tells what is missing, and goes on."""
    done, asked = run_demo(failing="doctor")
    assert (done.returncode, asked[-1]) == (0, "activate")
    assert "Going on without what is missing" in done.stdout


@pytest.mark.parametrize("failing", ["lock", "activate"])
def test_a_step_that_fails_ends_the_demo(run_demo, failing):
    """Every other step has to succeed."""
    done, asked = run_demo(failing=failing)
    assert (done.returncode, asked[-1]) == (1, failing)
