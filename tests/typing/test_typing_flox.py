"""The types of the public API, as mypy and pyright see them: errors are exactly where the file says so."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
API = HERE / "flox_api.py"
pytestmark = pytest.mark.slow


def expected():
    """Return the numbers of the lines that are wrong on purpose."""
    lines = API.read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if "# error:" in line]


def test_mypy(tmp_path):
    """In its strict mode."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "--config-file=", API],
        cwd=ROOT,
        env={"MYPYPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [int(line) for line in re.findall(rf"^[^:]*{API.name}:(\d+): error", done.stdout, re.MULTILINE)]
    assert found == expected(), done.stdout + done.stderr


@pytest.mark.live("types")
def test_pyright(tmp_path):
    """By the distribution that needs nothing of the machine; its rules are pyright's strict ones."""
    from esker.host.uv import uv_program

    settings = {
        "include": [str(API)],
        "extraPaths": [str(ROOT / "src")],
        "typeCheckingMode": "strict",
        "reportUnusedExpression": False,
        "reportPrivateUsage": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [uv_program(), "tool", "run", "basedpyright", "-p", tmp_path, "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True,
        text=True,
        check=False,
    )
    problems = json.loads(done.stdout)["generalDiagnostics"]
    found = [problem["range"]["start"]["line"] + 1 for problem in problems if problem["severity"] == "error"]
    assert found == expected(), problems
