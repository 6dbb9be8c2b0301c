"""`esker services hold` and `release`, for programs that need services for as long as a process lives."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.slow

MANIFEST = """\
schema-version = "1.14.0"
[services]
one.command = "exec sleep 1000"
two.command = "exec sleep 1000"
bad.command = "echo no luck; exit 3"
[plugins.esker.services.bad]
type = "oneshot"
"""


@pytest.fixture
def services(project, esker):
    """Give a function that runs `esker services` in a project; services that still run afterwards are stopped."""
    project(MANIFEST)

    def run(*arguments):
        return esker("services", *arguments)

    yield run
    run("stop")


@pytest.fixture
def process():
    """Give a process that lives until its input is closed."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process


def running(services):
    """Return the names of the running services."""
    return {one["name"] for one in json.loads(services("status", "--json").out) if one["pid"]}


def test_services_run_until_the_process_has_ended(services, process):
    """Services are ready when `hold` returns, and end with the process, however it ends."""
    held = services("hold", "--json", "--pid", process.pid, "--token", "t", "one")
    assert (held.status, [one["users"] for one in json.loads(held.out)]) == (0, [[process.pid]])
    assert running(services) == {"one"}
    process.kill()
    assert services("wait", "--for", "stopped", "one", "--timeout", "20").status == 0


def test_release_works_while_the_manifest_has_a_mistake(services, process, tmp_path):
    """What is given back runs already: the mistake says nothing of it."""
    assert services("hold", "--pid", process.pid, "--token", "t", "one").status == 0
    manifest = tmp_path / "project/.flox/env/manifest.toml"
    manifest.write_text("broken [")
    assert services("release", "--pid", process.pid, "--token", "t").status == 0
    manifest.write_text(MANIFEST)
    assert running(services) == set()


def test_release_gives_back_all_that_is_held_with_a_token(services, process):
    """`release` leaves services that the process holds with another token running."""
    for token, name in (("t", "one"), ("t", "two"), ("other", "two")):
        assert services("hold", "--pid", process.pid, "--token", token, name).status == 0
    assert services("release", "--pid", process.pid, "--token", "t") == (0, "", "")
    assert running(services) == {"two"}
    assert services("release", "--pid", process.pid, "--token", "t").status == 0
    assert services("release", "--pid", process.pid, "--token", "other").status == 0
    assert running(services) == set()


def test_what_fails_is_told_to_programs_and_people(services):
    """With `--json` the error is a record with its class, the service and the end of its log."""
    holder = ("--pid", os.getpid(), "--token", "t")
    failed = services("hold", "--json", *holder, "bad")
    record = json.loads(failed.out)
    assert (failed.status, record["code"], record["service"]) == (1, "service-failed", "bad")
    assert record["log"][-1] == "no luck"
    unknown = json.loads(services("hold", "--json", *holder, "absent").out)
    assert (unknown["code"], unknown["service"]) == ("unknown-service", "absent")
    assert "service `bad` exited with status 3" in services("hold", *holder, "bad").err
    assert running(services) == set()


def test_a_process_that_is_not_there_can_hold_nothing(services, process):
    """A process that does not exist is an error that names it, and nothing is started."""
    process.stdin.close()
    process.wait()
    failed = services("hold", "--pid", process.pid, "--token", "t", "one")
    assert (failed.status, f"there is no process {process.pid}" in failed.err) == (1, True)
    assert running(services) == set()
