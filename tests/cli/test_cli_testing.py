"""`esker testing`, as programs other than the plugin may speak with it: what docs/reference/testing.md says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.slow

MANIFEST = """\
schema-version = "1.14.0"
[vars]
GREETING = "hello"
[services]
one.command = "exec sleep 1000"
"""


class Speaker:
    """A process that speaks with the command."""

    def __init__(self, process):
        self.process = process

    def send(self, line):
        """Send a line, and return the reply; None when there is none."""
        self.process.stdin.write(line if isinstance(line, str) else json.dumps(line) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else None

    def ask(self, do, **arguments):
        """Send a request with an id, and return the reply."""
        return self.send({"id": do, "do": do, **arguments})


@pytest.fixture
def speak(environ, project):
    """Give a function that begins a session in a project with a service."""
    directory = project(MANIFEST)

    @contextmanager
    def begun(*options, pid=None):
        argv = [
            sys.executable,
            "-m",
            "esker",
            "testing",
            *(options or ("--protocol", "1")),
            "--pid",
            str(pid or os.getpid()),
        ]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(argv, cwd=directory, env=environ, text=True, **pipes) as process:
            yield Speaker(process)

    begun.opening = {"root": str(directory), "project": "", "environ": {**environ, "MINE": "\udcff"}}
    yield begun
    subprocess.run([sys.executable, "-m", "esker", "services", "stop"], cwd=directory, env=environ, check=True)


def test_a_whole_session(speak):
    """Opened, the environment's variables are told; a started service is leased to the pid; closing tells the way back."""
    with speak() as session:
        opened = session.ask("open", **speak.opening)
        assert (opened["id"], opened["project"], opened["set"]["GREETING"]) == ("open", speak.opening["root"], "hello")
        assert (opened["unset"], "MINE" in opened["set"], "HOME" in opened["set"]) == ([], False, False)
        inside = {**speak.opening["environ"], **opened["set"], "GREETING": "mine"}
        (service,) = session.ask("start", services=["one"])["services"]
        assert (service["name"], service["users"]) == ("one", [os.getpid()])
        closed = session.ask("close", environ=inside)
        left = {name: value for name, value in {**inside, **closed["set"]}.items() if name not in closed["unset"]}
        assert left == {**speak.opening["environ"], "GREETING": "mine"}
        assert session.process.wait(20) == 0


def test_within_an_activation_nothing_changes(speak):
    """The environment is joined: the variables of the tests stay as they are, at the beginning and the end."""
    with speak() as session:
        environ = {**speak.opening["environ"], **session.ask("open", **speak.opening)["set"]}
        with speak() as joined:
            opened = joined.ask("open", **{**speak.opening, "environ": environ})
            assert (opened["set"], opened["unset"]) == ({}, [])
            assert joined.ask("close", environ=environ) == {"id": "close", "set": {}, "unset": []}


def test_an_error_is_a_reply_and_the_session_goes_on(speak):
    """It has the record that `--json` shows, and the text that a person reads."""
    with speak() as session:
        session.ask("open", **speak.opening)
        error = session.ask("start", services=["absent"], seconds=5)["error"]
        assert (error["code"], error["service"]) == ("unknown-service", "absent")
        assert error["text"] == "service `absent` does not exist\nhint: the services here are `one`"
        assert "services" in session.ask("start", services=["one"], seconds=5)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense\n",
        "[1]\n",
        '{"do": "dance"}\n',
        '{"do": "open", "root": 1, "project": "", "environ": {}}\n',
        '{"do": "open", "root": "/", "project": "", "environ": {"A": 1}}\n',
        '{"do": "start", "services": ["one"]}\n',
        '{"do": "close", "environ": {}}\n',
        '{"id": 7}\n',
        f"{'[' * 100_000}\n",
    ],
)
def test_a_request_that_is_none_is_refused(speak, line):
    """With the reason, and without an end of the session."""
    with speak() as session:
        error = session.send(line)["error"]
        assert error["code"] == "usage"
        assert error["message"].startswith("the tests have sent a request that is not valid: ")
        if '"close"' not in line:
            assert "project" in session.ask("open", **speak.opening)
            again = session.ask("open", **speak.opening)["error"]["message"]
            assert again.endswith("there is an open environment already")


def test_another_version_of_the_protocol_is_refused(speak):
    """On stderr, with both versions; there is no reply."""
    with speak("--protocol", "2") as session:
        out, err = session.process.communicate(timeout=20)
    assert (session.process.returncode, out) == (2, "")
    assert "the tests speak version 2 of the protocol, this Esker version 1" in err


def test_tests_that_have_ended_already_are_served_nothing(speak):
    """A session for a process that has ended, ends."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    with speak(pid=ended.pid) as session:
        assert session.ask("open", **speak.opening) is None
        assert session.process.wait(20) == 0


def test_a_closed_pipe_ends_it_and_what_it_has_begun(speak, esker):
    """As when the process that runs tests dies: the service stops although that process, here this one, lives on."""
    with speak() as session:
        session.ask("open", **speak.opening)
        session.ask("start", services=["one"])
        session.process.stdin.close()
        assert session.process.wait(20) == 0
    assert [one["pid"] for one in json.loads(esker("services", "status", "--json").out)] == [None]


def test_flox_has_no_such_command(environ, tmp_path, esker, project):
    """The `flox` that is Esker has the commands of Flox alone."""
    project()
    assert esker("shim", "flox", tmp_path / "shim").status == 0
    done = subprocess.run([tmp_path / "shim/flox", "testing"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
