"""Every block of the guide for pytest is run: its tests by its commands, in a project that declares what it declares."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import installed_wheels

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/pytest.md").read_text()


def blocks(language):
    """Return the guide's blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_every_block_is_one_of_three_languages():
    """So that none is left out below."""
    assert sorted(re.findall(r"^```(\w+)$", GUIDE, re.MULTILINE)) == sorted(["python"] * 2 + ["sh"] * 3 + ["toml"] * 3)


@pytest.fixture
def bash(tmp_path, environ, index):
    """Give a function that runs commands in the guide's project and returns what they print."""
    installed_wheels.serve(index, *installed_wheels.WITH_XDIST)
    variables = environ | {
        "PATH": f"{os.path.dirname(sys.executable)}:{environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
    }

    def run(script, where="greeter"):
        argv = ["bash", "--noprofile", "--norc", "-eu", "-o", "pipefail", "-c", script]
        done = subprocess.run(argv, cwd=tmp_path / where, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    run("mkdir greeter && cd greeter && esker init --bare", where=".")
    return run


def test_the_guide(bash, tmp_path):
    """Its marked test passes by each of its commands, its fixture works, and `esker_project` finds the project."""
    service, dependencies, setting = blocks("toml")
    marked, fixture = blocks("python")
    manifest = tmp_path / "greeter/.flox/env/manifest.toml"
    manifest.write_text(manifest.read_text() + service + dependencies)
    (tmp_path / "greeter/test_greeter.py").write_text(marked)
    (tmp_path / "greeter/conftest.py").write_text(fixture)
    (tmp_path / "greeter/test_fixture.py").write_text(
        "from urllib.request import urlopen\ndef test_it(greeter): urlopen(greeter).close()\n"
    )
    for block in blocks("sh"):
        printed = bash(block)
        assert "2 passed" in printed
        assert ("Running" in printed) == ("status" in block)
    assert "Running" not in bash("esker services status")
    (tmp_path / "pyproject.toml").write_text(setting)
    assert "2 passed" in bash("pytest greeter", where=".")
