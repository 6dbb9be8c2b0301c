"""Containers that somebody else starts, pauses or checks, and an engine that says nothing: what a person is told."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import pytest

from esker.host import pidfd
from tests.support.containers.checkout import ESKER

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

IDLE = "image: busybox, init: true, command: sleep 1000"
WEB = f"services: {{web: {{{IDLE}}}}}\n"


@pytest.fixture(scope="module")
def silent(shared_place):
    """Give a start against an engine that accepts connections and never answers; it is begun before the other tests."""
    checkout = shared_place.checkout(compose=WEB, name="silent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(shared_place.path / "silent.sock"))
        listener.listen(100)
        with checkout.begin("services", "start", DOCKER_HOST=f"unix://{shared_place.path}/silent.sock") as begun:
            yield checkout, begun


@pytest.fixture(autouse=True)
def _begun(silent):
    """Have that start run while the other tests do."""


def test_containers_begun_by_hand_are_shown(place):
    """`status` and `wait` know them before any start, and a start says that they run already."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}}}, other: {{{IDLE}}}}}\n")
    shop.compose("up", "--detach", "web")
    state = shop.states()["web"]
    assert (state["status"], state["container"], state["ready"]) == ("Running", "shop-web-1", True)
    assert state["note"].startswith("somebody has started its container by hand")
    assert shop.states()["other"]["status"] == "Stopped"
    shop.esker("services", "wait", "web")
    assert "`web` not stopped within 0.3 s" in shop.refused(
        "services", "wait", "web", "--for", "stopped", "--timeout", "0.3"
    )
    told = shop.refused("services", "wait", "web", "--for", "completed")
    assert "nobody follows service `web` to its end: its container was started by hand" in told
    assert "service `other` is not running" in shop.refused("services", "wait", "web", "other")
    shop.esker("services", "start", "other")
    assert shop.states()["web"]["note"].startswith("somebody has started its container by hand")
    assert "! Service 'web' is already running." in shop.esker("services", "start").stderr


def test_an_engine_that_cannot_be_asked_is_said_once(place):
    """`status` shows what it knows, and why it does not know more."""
    shop = place.checkout(compose=WEB)
    shop.states()
    state = shop.states(DOCKER_HOST=f"unix://{place.path}/absent.sock")["web"]
    assert state["status"] == "Unknown"
    assert state["note"].startswith("nobody can look at the containers: the container engine refuses: Cannot connect")


def test_compose_reads_its_files_without_an_engine(place):
    """A process starts in a checkout whose Compose files were never read; the container has its port later."""
    manifest = (
        "[services.own]\ncommand = 'exec sleep 1000'\n[plugins.esker.compose.services.web]\nports = { HTTP = 80 }\n"
    )
    ports = 'ports: ["127.0.0.1::80"]'
    shop = place.checkout(manifest, compose=f"services: {{web: {{{IDLE}, {ports}}}}}\n")
    absent = {"DOCKER_HOST": f"unix://{place.path}/absent.sock"}
    told = shop.refused("services", "start", **absent)
    assert "hint: start the engine" in told
    assert "what needs no container can be started: esker services start own" in told
    done = shop.esker("services", "start", "own", **absent)
    assert "! left out: `web`: nobody can look at the containers: " in done.stderr
    port = shop.inside("echo $HTTP", **absent)
    shop.esker("services", "start")
    assert shop.states()["web"]["ports"] == {"HTTP": int(port)}
    assert f"127.0.0.1:{port}" in shop.engine.docker("ps", "--format", "{{.Ports}}")


def test_a_compose_file_that_appears_changes_its_place_or_goes(place):
    """The next activation knows it, although it was prepared before."""
    shop = place.checkout()
    name = "echo $COMPOSE_PROJECT_NAME"
    assert shop.inside(name) == ""
    shop.write("docker-compose.yml", "name: first\n" + WEB)
    assert shop.inside(name) == "first"
    shop.write("compose.yaml", "name: second\n" + WEB)
    assert shop.inside(name) == "second"
    shop.write("compose.override.yml", "name: third\n")
    assert shop.inside(name) == "third"
    for file in ("compose.yaml", "docker-compose.yml"):
        (shop.path / file).unlink()
    assert shop.inside(name) == ""


def test_what_compose_warns_of_is_said_at_a_start(place):
    """A variable that nothing sets is named once, at each start and nowhere else; its value is asked for in `.env`."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}, environment: ['A=${{NOPE}}', 'B=${{NOPE}}']}}}}\n")
    told = "! the Compose files name `NOPE`, which nothing sets, so Compose takes an empty text: set it in `.env`\n"
    assert shop.esker("services", "start").stderr.count(told) == 1
    assert told not in shop.esker("services", "status").stderr
    assert shop.esker("services", "start").stderr.count(told) == 1
    shop.write(".env", "NOPE=set\n")
    assert told not in shop.esker("services", "start").stderr


def test_what_compose_warns_of_when_it_makes_a_container(place):
    """It is said once, by the start that makes it; what only tells of old syntax is not said, nor what has ended."""
    place.engine.docker("volume", "create", "kept")
    web = f"web: {{{IDLE}, volumes: ['kept:/kept']}}"
    kept = "volumes: {kept: {name: kept}}\n"
    shop = place.checkout(compose=f"version: '3.8'\nservices: {{old: {{{IDLE}}}, gone: {{{IDLE}}}}}\n")
    shop.compose("up", "--detach")
    shop.compose("stop", "gone")
    shop.write("compose.yaml", f"version: '3.8'\nservices: {{{web}, other: {{{IDLE}}}}}\n{kept}")
    told = shop.esker("services", "start").stderr
    assert told.count('! volume "kept" already exists but was not created by Docker Compose.') == 1
    assert "`shop-old-1` still runs, but the Compose files do not have its service (the same for 1 more)\n" in told
    assert "obsolete" not in told
    assert "shop-gone-1" not in told
    shop.esker("services", "stop")
    assert "already exists" not in shop.esker("services", "start").stderr
    assert "shop-old-1" in shop.engine.docker("ps", "--format", "{{.Names}}")


@pytest.mark.parametrize("names", [(), ("old",)])
def test_a_service_that_the_files_lost_while_nobody_followed_it(place, names):
    """Esker has started its container, and its supervisor was killed: `status` shows it, and `stop` stops it."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}}}, old: {{{IDLE}}}}}\n")
    shop.esker("services", "start")
    shop.write("compose.yaml", WEB)
    for pid, start in (shop.record.guardian, shop.record.supervisor):
        with pidfd.opened(pid, start) as descriptor:
            pidfd.send(descriptor, signal.SIGKILL)
            assert pidfd.wait(descriptor, 10)
    if names:  # with a supervisor that knows nothing of it
        shop.esker("services", "start")
    done = shop.esker("services", "status")
    assert "shop-old-1" in done.stdout
    assert (
        "! `old` still runs, but the manifest no longer declares it: `esker services stop old` stops it" in done.stderr
    )
    assert "✔ Service 'old' stopped" in shop.esker("services", "stop", *names).stderr
    assert shop.engine.docker("ps", "--format", "{{.Names}}").split() == (["shop-web-1"] if names else [])
    assert "service `old` does not exist" in shop.refused("services", "stop", "old")


def test_ports_of_containers_without_a_manifest(place):
    """A port that no variable names has its service's name and the container's port."""
    shop = place.checkout(
        compose=f"services: {{web: {{{IDLE}, ports: ['127.0.0.1::80', '18763:81']}}, other: {{{IDLE}}}}}\n"
    )
    ports = json.loads(shop.esker("services", "ports", "--json").stdout)
    assert ports.keys() == {"web:80/tcp", "web:81/tcp"}
    assert ports["web:81/tcp"] == 18763
    assert shop.esker("services", "ports", "web").stdout.splitlines()[1] == "web:81/tcp=18763"
    assert shop.esker("services", "ports", "other").stdout == ""


def test_a_paused_container_is_not_unhealthy(place):
    """Docker itself calls it that; here it is said to be paused, and it is ready again once it has been resumed."""
    check = "healthcheck: {test: 'true', interval: 100ms}"
    shop = place.checkout(compose=f"services: {{plain: {{{IDLE}}}, web: {{{IDLE}, {check}}}}}\n")
    shop.esker("services", "start")
    shop.engine.docker("pause", "shop-web-1", "shop-plain-1")
    for name in ("web", "plain"):
        state = _until(shop, name, lambda state: state["message"])
        assert state["message"] == f"its container is paused: `docker unpause shop-{name}-1` resumes it"
        assert (state["status"], state["ready"]) == ("Running", False)
        assert state["health"] != "unhealthy"
    shop.engine.docker("unpause", "shop-web-1", "shop-plain-1")
    for name in ("web", "plain"):
        assert _until(shop, name, lambda state: state["ready"])["message"] is None


@pytest.mark.parametrize("test", ["[CMD, nonesuch]", "nonesuch --quick"])
def test_a_check_whose_command_is_missing(place, test):
    """More time would not help, so the hint speaks of the image."""
    check = f"healthcheck: {{test: {test}, interval: 100ms, retries: 2}}"
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}, {check}}}}}\n")
    told = shop.refused("services", "start")
    assert "service `web` does not become healthy: " in told
    assert "nonesuch" in told
    assert "hint: its image has no such command: correct `healthcheck` in the Compose file" in told


def test_an_engine_that_never_answers(silent):
    """It is named within a minute, and nothing is left of the start."""
    checkout, begun = silent
    _, told = begun.communicate(timeout=60)
    assert begun.returncode == 1
    assert "the container engine does not answer: `docker image` has not ended within 15 s" in told
    assert "hint: restart the engine, or name another one in DOCKER_HOST" in told
    assert [each for each in checkout.place.commands() if "silent.sock" in each or ESKER[-1] in each] == []


def _until(checkout, name, holds):
    """Return the state of a service once something holds of it."""
    deadline = time.monotonic() + 10
    while not holds(state := checkout.states()[name]):
        assert time.monotonic() < deadline, state
    return state
