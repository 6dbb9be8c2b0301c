"""`examples/traveling` by Guix, with Ruby and Rails of Debian's newest suite: run with `--live traveling`."""

from __future__ import annotations

import os

import pytest

from tests.support import traveling
from tests.support.containers import programs
from tests.support.interactive_shell import InteractiveShell
from tests.support.sid.machine import Machine
from tests.support.sid.root import PYTHON

pytestmark = [
    pytest.mark.live("traveling"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine, and mount Debian sid"),
]


def test_the_manifest_of_guix(place):
    """By Guix and Debian's newest Rails: the same aliases and function, and what they do."""
    engine = os.path.dirname(place.engine.variables["DOCKER_HOST"].removeprefix("unix://"))
    with Machine(str(place.path), engine, str(programs.ROOT.path())) as machine:

        def run(command, variables):
            return machine.run(*command, user="root", variables=variables)

        (place.path / "guix").mkdir()
        project, gemfile = traveling.copy(place.path / "guix"), place.path / "guix/Gemfile"
        traveling.look_often(project)
        (project / "channels.scm").unlink()  # `guix time-machine` would ask a server
        traveling.install_gems(project, gemfile, run)
        machine.start_guix()
        home = place.path / "guix/home"
        home.mkdir()
        variables = {**place.engine.variables, **traveling.outside(home, gemfile), "PSQL_PORT": traveling.free_port()}
        variables["PATH"] = f"{programs.ROOT.path()}/bin:{PYTHON}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        inside = {"user": "root", "cwd": str(project), "variables": {**variables, **InteractiveShell.VARIABLES}}
        command = machine.command("esker", "activate", "--runtime", "guix", **inside)
        with InteractiveShell(command, os.environ, project) as shell:
            assert shell.output("command -v psql").startswith("/gnu/store/")
            assert "Rails 7.2" in shell.output("bundle exec rails --version")
            traveling.walks(shell, variables["PSQL_PORT"])
