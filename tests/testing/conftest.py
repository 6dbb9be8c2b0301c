"""A project with services and tests, and runs of pytest in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from esker.host import process_table

MANIFEST = """\
schema-version = "1.14.0"
[vars]
GREETING = "hello"
[hook]
on-activate = 'echo ran >> hook.log'
[services]
one.command = 'echo $$ >> "$FLOX_ENV_CACHE/one.log"; exec sleep 1000'
bad.command = 'echo tried >> "$FLOX_ENV_CACHE/bad.log"; echo "no luck"; exit 3'
[plugins.esker.services.one]
healthcheck = { test = 'test -s "$FLOX_ENV_CACHE/one.log"' }
[plugins.esker.services.bad]
type = "oneshot"
"""


class Project:
    """A project with tests, and runs of pytest in it."""

    def __init__(self, directory, environ):
        self.directory = directory
        self.environ = environ

    def write(self, name, text):
        """Write a file of the project."""
        (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / name).write_text(text)

    def run(self, *argv, **variables):
        """Run a program in the project to its end."""
        return subprocess.run(
            argv,
            cwd=self.directory,
            env=self.environ | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @contextmanager
    def running(self, *argv):
        """Begin a program in the project; it does not outlive the block."""
        with subprocess.Popen(argv, cwd=self.directory, env=self.environ, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def lines(self, name):
        """Return the lines of a file, none when it is not there."""
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def starts(self):
        """The pids that the service `one` has had."""
        return [int(line) for line in self.lines(".flox/cache/one.log")]

    def esker(self, *arguments):
        """Run a command of Esker."""
        done = self.run(sys.executable, "-m", "esker", *arguments)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def project(tmp_path, environ):
    """Give a project with services; no service may be left when the test has ended."""
    environ["PATH"] = f"{os.path.dirname(sys.executable)}:{environ['PATH']}"
    made = Project(tmp_path / "project", environ)
    made.write(".flox/env.json", json.dumps({"name": "project", "version": 1}))
    made.write(".flox/env/manifest.toml", MANIFEST)
    made.write("pytest.ini", "[pytest]\nstrict = true\nfilterwarnings = error\n")
    yield made
    left = [pid for pid in made.starts if process_table.entry(pid)]
    made.esker("services", "stop")
    assert left == []
