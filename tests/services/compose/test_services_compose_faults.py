"""What of the container engine is lost while services start: the start says what failed, and does not wait in vain."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from functools import partial
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

IDLE = "image: busybox, init: true, command: sleep 1000"
CHECK = "healthcheck: {test: 'test -e /ready', interval: 100ms, retries: 1000, start_period: 60s}"
WRAPPER = """#!/bin/sh
case " $* " in *" $HANGS "*) exec sleep 1000;; esac
PATH=$REAL exec docker "$@"
"""


def _until(holds):
    deadline = time.monotonic() + 20
    while not (told := holds()):
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)
    return told


def _remove_groups(identity):
    """Remove the control group of a container, whose processes go on in that of the machine."""
    for group in [*Path("/sys/fs/cgroup").glob(f"*/*/{identity}"), *Path("/sys/fs/cgroup").glob(f"*/{identity}")]:
        _until(partial(_is_removed, group))


def _is_removed(group):
    """Move the processes of a control group out, and remove it, unless a health check has entered it meanwhile."""
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):  # it has ended
            (group.parent.parent / "cgroup.procs").write_text(pid)
    try:
        group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def test_a_control_group_that_vanishes_during_a_start(place):
    """The engine can run no health check then, and says so; the start fails long before its time is up."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}, {CHECK}}}}}\n")
    with shop.begin("services", "start") as begun:
        identity = _until(lambda: place.engine.docker("ps", "-q", "--no-trunc").strip())
        _until(lambda: "starting" in place.engine.docker("ps"))
        _remove_groups(identity)
        _, told = begun.communicate(timeout=20)
    assert begun.returncode == 1
    assert "service `web` does not become healthy: the container engine can run nothing in it: OCI runtime" in told
    assert "hint: start it anew: esker services restart web" in told
    assert place.engine.docker("ps", "-q") == ""
    shop.write("compose.yaml", f"services: {{web: {{{IDLE}}}}}\n")
    shop.esker("services", "start")


def test_a_network_that_somebody_has_removed(place):
    """The engine refuses the stopped container; the hint has Compose make it anew, and then it starts."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}}}}}\n")
    shop.esker("services", "start")
    shop.esker("services", "stop")
    place.engine.docker("network", "rm", "shop_default")
    told = shop.refused("services", "start")
    assert "cannot start the container of `web`: the container engine refuses: network" in told
    assert "docker compose up --no-start --no-deps --force-recreate NAME" in told
    shop.inside("docker compose up --no-start --no-deps --force-recreate web 2>&1")
    shop.esker("services", "start")


@pytest.fixture
def hanging(place):
    """Give the variables with which the `docker` command never ends when it gets a word, to be named in HANGS."""
    (place.path / "bin").mkdir()
    (place.path / "bin/docker").write_text(WRAPPER)
    (place.path / "bin/docker").chmod(0o755)
    real = place.environ["PATH"]
    return {"PATH": f"{place.path}/bin:{real}", "REAL": real}


def test_a_container_that_is_never_made(place, hanging):
    """A start whose time is up says that Compose still makes the container."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}}}}}\n")
    told = shop.refused("services", "start", "--timeout", "0.5", **hanging, HANGS="--no-start")
    assert "service `web` was not ready within 0.5 s" in told
    assert "hint: Compose is still making the container of `web`" in told


def test_an_engine_that_tells_no_events(place, hanging):
    """A start looks at its containers now and then, and sees that they are healthy."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}, {CHECK.replace('test -e /ready', 'true')}}}}}\n")
    shop.esker("services", "start", **hanging, HANGS="events")
    assert shop.states()["web"]["health"] == "healthy"


def test_a_wait_says_what_the_check_finds(place):
    """The health check's own words stand in the hint when the time of a wait is up."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}, {CHECK}}}}}\n")
    with shop.begin("services", "start"):
        _until(lambda: "ended with status" in (shop.states()["web"]["message"] or ""))
        told = shop.refused("services", "wait", "--timeout", "0.2")
        shop.esker("services", "stop")
    assert "`web` not healthy within 0.2 s" in told
    assert "hint: the health check of `web` found: its check ended with status 1; allow a longer `--timeout`" in told
