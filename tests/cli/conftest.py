"""Fixtures of the command line's tests: the command as a process, and projects to run it in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import NamedTuple

import pytest


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Give a wheel of this clone."""
    from tests.support.installed_esker import esker_wheel

    return esker_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def esker(environ, tmp_path):
    """Give a function that runs `esker` in a directory (default: the project's) and returns its result."""

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


@pytest.fixture
def empty(tmp_path):
    """Give an empty project directory."""
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def served(index):
    """Give an index with two packages, each of which has a command."""
    for name in ("app", "tool"):
        files = {f"{name}.py": f"def main(): print('{name} runs')\n", f"{name}.dat": bytes(200_000)}
        index.add(name, "1.0", files, scripts={name: f"{name}:main"})
    return index


class Shim:
    """Esker's `flox` on PATH, which can be called directly, from a bash, or at a terminal."""

    def __init__(self, environ, directory, cwd):
        self.environ = environ
        self.directory = directory
        self.cwd = cwd

    def __call__(self, *arguments, **how):
        """Run `flox` with arguments."""
        return self.run([f"{self.directory}/flox", *map(str, arguments)], **how)

    def bash(self, script, *options, **how):
        """Run a script in a bash that reads no start-up files."""
        return self.run(["bash", "--noprofile", "--norc", *options, "-c", script], **how)

    def terminal(self, script, **how):
        """Run a script in a bash at a terminal, where both outputs are one stream."""
        code = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
        done = self.run([sys.executable, "-c", code, "bash", "--noprofile", "--norc", "-c", script], **how)
        return Result(done.status, done.out.replace("\r\n", "\n"), done.err)

    def start(self, arguments):
        """Start `flox` with arguments, and return the process with its three streams."""
        pipe = subprocess.PIPE
        argv = [f"{self.directory}/flox", *arguments]
        return subprocess.Popen(argv, cwd=self.cwd, env=self.environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def run(self, argv, cwd=None, stdin="", **variables):
        """Run a program; a variable that is None is unset."""
        environ = {name: value for name, value in (self.environ | variables).items() if value is not None}
        done = subprocess.run(
            argv,
            cwd=cwd or self.cwd,
            env=environ,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def flox(environ, tmp_path):
    """Give Esker's `flox`; it runs in the project's directory by default."""
    import esker
    from esker.host import start_script

    directory = tmp_path / "shim"
    source = os.path.dirname(os.path.dirname(esker.__file__))
    start_script.write(str(directory), "flox", entry="flox", interpreter=sys.executable, source=source)
    environ["PATH"] = f"{directory}:{environ['PATH']}"
    return Shim(environ, directory, tmp_path / "project")
