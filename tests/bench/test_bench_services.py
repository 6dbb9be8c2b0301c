"""The figure of the two servers: what runs by hand, and the process that uses the services."""

from __future__ import annotations

import os
import socket
import sys
import tomllib

import pytest

from bench import services
from bench.client import client
from bench.projects import EXAMPLE, MANIFEST
from bench.services import SERVERS, ByHand, command_words
from bench.supervisor import declare
from bench.workspace import workspace
from esker.host import process_table

LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(1000)"
SERVE = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os._exit(0))  # as PostgreSQL does, also where the caller ignores it
with open(sys.argv[1] + "/up", "w") as file:
    file.write(str(os.getpid()))
signal.pause()
"""


class TestCommandWords:
    """By hand the example's own commands are run, without the shell."""

    def test_of_the_example(self):
        """The commands of both servers are their programs with the environment's values."""
        declared = tomllib.loads((EXAMPLE / MANIFEST).read_text())["services"]
        variables = {"PGDATA": "/data", "PGHOST": "/sockets", "PGPORT": "5432", "VALKEY_PORT": "6379"}
        postgres, cache = (command_words(declared[name]["command"], variables) for name in SERVERS)
        assert postgres[:7] == ("postgres", "-D", "/data", "-k", "/sockets", "-p", "5432")
        assert cache[0] == "valkey-server"
        assert cache[cache.index("--port") + 1] == "6379"

    def test_more_than_one_program_is_refused(self):
        """A command that is shell text could not be compared with a program by hand."""
        with pytest.raises(ValueError, match="does more than `exec` a single program"):
            command_words("test -e x && exec y", {})


class TestByHand:
    """Two servers by hand: ready when both answer, and ended when it returns."""

    @pytest.fixture
    def servers(self, tmp_path):
        """A function that gives two stand-ins: one that listens, and one that a `pg_isready` of its own asks."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        isready = tmp_path / "pg_isready"
        isready.write_text(f"#!/bin/sh\ntest -e {tmp_path}/up\n")
        isready.chmod(0o755)
        variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VALKEY_PORT": port}
        listen = (sys.executable, "-I", "-S", "-c", LISTEN, port)

        def make(*postgres):
            commands = {"postgres": postgres, "cache": listen}
            return ByHand(commands, variables, None, tmp_path / "said")

        return make

    def test_start_and_stop(self, servers, tmp_path):
        """Both have answered before they are stopped, and both times are taken."""
        started, stopped = servers(sys.executable, "-I", "-S", "-c", SERVE, str(tmp_path)).run()
        assert started > 0
        assert stopped > 0
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "up").read_text()), 0)

    def test_a_server_that_ends_is_an_error(self, servers, tmp_path):
        """What it said is shown, and the other one is ended too."""
        with pytest.raises(RuntimeError, match="`postgres` ended with status 3:\nno such data"):
            servers("sh", "-c", "echo no such data; exit 3").run()
        with pytest.raises(ConnectionRefusedError), socket.socket() as connection:
            connection.connect(("127.0.0.1", int(servers().variables["VALKEY_PORT"])))


class TestClient:
    """A process that uses services; whatever happens, none is left."""

    @pytest.fixture
    def space(self):
        """A workspace."""
        with workspace() as space:
            space.directory.chmod(0o711)
            yield space

    @pytest.mark.slow
    def test_start_status_stop(self, space):
        """Calls are made in the environment and timed there."""
        project = declare(space, "one", {"web": ("exec sleep 1000", {"healthcheck": {"test": ["true"]}})})
        with client(space, project) as user:
            assert user.start("web") > 0
            assert [(one["name"], one["health"]) for one in user.status()] == [("web", "healthy")]
            assert user.variables()["FLOX_ENV_PROJECT"] == user.site()["project"] == str(project)
            assert user.stop() > 0
            assert [one["status"] for one in user.status()] == ["Stopped"]

    @pytest.mark.slow
    def test_a_failure_shows_why_and_leaves_nothing(self, space):
        """When a call fails its reason is shown, and what ran is stopped."""
        project = declare(space, "two", {"web": ("exec sleep 1000", {}), "bad": ("exit 3", {"type": "oneshot"})})
        with client(space, project) as user:
            user.start("web")
            pid = user.status()[1]["pid"]
            os.kill(pid, 0)
            with pytest.raises(RuntimeError, match=r"(?s)`start` of bad failed:.*`bad` exited with status 3"):
                user.start("bad")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.alone
@pytest.mark.live("bench")
@pytest.mark.slow
def test_the_figure():
    """PostgreSQL and Valkey are measured in every way, in seven rounds, and nothing of them is left."""
    figure = services.figure(7)
    assert {len(line.sample.values) for line in figure.lines} == {7}
    projects = {
        entry.pid: process_table.environment(entry.pid).get(b"FLOX_ENV_PROJECT", b"")
        for entry in process_table.entries()
    }
    assert [pid for pid, project in projects.items() if b"/esker-bench-" in project] == []
