"""What the command line's tests share: the command as a process, and projects to run it in."""

import json
import subprocess
import sys
from typing import NamedTuple

import pytest


class Result(NamedTuple):
    """How a command ended, and all it said."""

    status: int
    out: str
    err: str


@pytest.fixture
def esker(environ, tmp_path):
    """Give a function that runs `esker` in a directory (default: the project's) and returns all it said."""

    def run(*arguments, cwd=None, stdin="", **variables):
        done = subprocess.run(
            [sys.executable, "-m", "esker", *map(str, arguments)],
            cwd=cwd or tmp_path / "project",
            env=environ | variables,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def project(tmp_path):
    """Give a function that makes a project with a manifest (default: an empty one) and returns its directory."""

    def make(manifest='schema-version = "1.14.0"\n', name="project"):
        directory = tmp_path / name
        (directory / ".flox" / "env").mkdir(parents=True)
        (directory / ".flox" / "env.json").write_text(json.dumps({"name": name, "version": 1}))
        (directory / ".flox" / "env" / "manifest.toml").write_text(manifest)
        return directory

    return make
