"""What `esker doctor` finds: each thing that is missing names what would mend it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from esker.runtimes.survey import survey
from esker.settings import Settings


def test_what_is_missing_names_its_mend(tmp_path):
    """Without a PATH what can be done without is absent, nothing needed is missing, and whatever is not ok has a mend."""
    found = {
        finding.name: finding for finding in survey(Settings({"ESKER_STORE": str(tmp_path / "store")}), str(tmp_path))
    }
    assert {name for name, each in found.items() if each.state == "absent"} >= {
        "bash",
        "namespaces",
        "flox",
        "nix",
        "guix",
        "docker",
    }
    assert [name for name, each in found.items() if each.state == "missing"] == []
    assert all(each.mend for each in found.values() if each.state != "ok")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("declared", "pipe"),
    [
        ("requirements.txt", "requirements.txt"),
        ("requirements.txt", "more.txt"),
        ("manifest.scm", "channels.scm"),
        ("shell.nix", "other.nix"),
        ("flake.nix", "other.nix"),
        ("flake.nix", "flake.lock"),
    ],
)
def test_a_pipe_in_a_project_is_not_waited_for(tmp_path, environ, declared, pipe):
    """No file that decides about an environment makes a command wait that only looks at it."""
    (tmp_path / "bin").mkdir()
    for name in ("nix", "guix"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    (project / declared).write_text(f"-r {pipe}\n" if declared.endswith(".txt") else "{}\n")
    (project / pipe).unlink(missing_ok=True)
    os.mkfifo(project / pipe)
    variables = {**environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    for words in (["doctor"], ["activate", "--json"]):
        command = [sys.executable, "-m", "esker", *words, "-d", str(project)]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)
        assert "Traceback" not in done.stderr
