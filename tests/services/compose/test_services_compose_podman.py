"""Services in containers on Podman, which runs no health check of its own where no systemd is."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from esker.host import pidfd
from tests.support.containers.checkout import Place
from tests.support.containers.podman import PodmanEngine

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start Podman"),
]

COMPOSE = """
services:
  db:
    image: postgres:17-alpine
    environment: {POSTGRES_USER: app, POSTGRES_HOST_AUTH_METHOD: trust, POSTGRES_DB: shop}
    volumes: ["data:/var/lib/postgresql/data"]
    ports: ["127.0.0.1::5432"]
    healthcheck: {test: pg_isready -U app -d shop -h 127.0.0.1, interval: 1s, start_interval: 50ms, start_period: 30s}
  front:
    image: busybox
    stop_signal: SIGKILL
    command: sh -c 'while :; do echo open; sleep 0.2; done'
volumes: {data: {}}
"""
MANIFEST = f"""
[vars]
PGHOST = "127.0.0.1"
PGUSER = "app"
PGDATABASE = "shop"
[services.migrate]
command = 'psql -qc "CREATE TABLE IF NOT EXISTS visits (page text)" -c "INSERT INTO visits VALUES (1)"'
[services.api]
command = 'exec {sys.executable} -m http.server --bind 127.0.0.1 "$API_PORT"'
[plugins.esker.services.migrate]
type = "oneshot"
depends-on = {{ db = "service_healthy" }}
[plugins.esker.services.api]
depends-on = {{ migrate = "service_completed_successfully" }}
healthcheck = {{ http = "http://127.0.0.1:$API_PORT/" }}
ports = {{ API_PORT = 0 }}
user = "root"
[plugins.esker.compose.services.db]
ports = {{ PGPORT = 5432 }}
[plugins.esker.compose.services.front]
depends-on = {{ api = "service_healthy" }}
"""
RUNNING = {"api", "db", "front"}


@pytest.fixture(scope="module")
def _place():
    with PodmanEngine() as engine, Place(engine) as place:
        yield place


@pytest.fixture(scope="module")
def _shop(_place):
    return _place.checkout(MANIFEST, compose=COMPOSE)


@pytest.fixture
def shop(_shop):
    """Give the checkout with all services running, whatever ran before."""
    _shop.esker("services", "start")
    return _shop


@pytest.fixture
def place(_place):
    """Give the place for other checkouts; their containers are removed after the test."""
    yield _place
    others = [each for each in _place.checkouts if each.path.name != "shop"]
    for each in others:
        each.run(sys.executable, "-m", "esker", "services", "stop", "--force")


def _psql(checkout, statement):
    return checkout.inside(f'psql -XAtqc "{statement}"')


def _running(checkout):
    return {name for name, each in checkout.states().items() if each["status"] == "Running"}


def _containers(checkout):
    """The running containers of the shop, by their ids, with the moment at which they began."""
    listed = checkout.engine.docker("ps", "-q", "--filter", "label=com.docker.compose.project=shop").split()
    form = "{{.Id}} {{.State.StartedAt}}"
    return {*checkout.engine.docker("inspect", "--format", form, *listed).splitlines()} if listed else set()


def _kill(checkout):
    record = checkout.record
    for pid, start in (record.guardian, record.supervisor):
        with pidfd.opened(pid, start) as descriptor:
            pidfd.send(descriptor, signal.SIGKILL)
            assert pidfd.wait(descriptor, 10)


def test_the_graph_is_started_in_order(shop):
    """A container is healthy because Esker has its check run; host services and containers wait for each other."""
    states = shop.states()
    assert {name: (each["status"], each["health"], each["ready"]) for name, each in states.items()} == {
        "api": ("Running", "healthy", True),
        "db": ("Running", "healthy", True),
        "front": ("Running", None, True),
        "migrate": ("Completed", None, True),
    }
    began = {name: each["started_at"] for name, each in states.items()}
    assert began["db"] < began["migrate"] < began["api"] < began["front"]
    assert states["db"]["container"] == "shop-db-1"
    shop.esker("services", "wait", "db", "front")
    assert _psql(shop, "SELECT count(*) FROM visits") >= "1"
    assert shop.esker("services", "logs", "front", "-n", "1").stdout == "open\n"


def test_a_compose_by_hand_meets_the_same_containers(shop):
    """The configuration's hash is the same on Podman."""
    before = _containers(shop)
    shop.inside("docker compose up -d 2>&1")
    assert _containers(shop) == before
    assert not any(each["outdated"] for each in shop.states().values())


def test_data_outlive_a_stop_and_are_gone_after_a_reset(shop):
    """A stop leaves volumes; a reset removes them, and runs again what fills them."""
    _psql(shop, "INSERT INTO visits VALUES (2)")
    shop.esker("services", "stop")
    assert _containers(shop) == set()
    shop.esker("services", "start")
    assert _psql(shop, "SELECT page FROM visits WHERE page = '2'") == "2"
    assert "✔ Service 'db' was reset." in shop.esker("services", "reset", "db", "--yes").stderr
    assert _psql(shop, "SELECT page FROM visits") == "1"
    assert _running(shop) == RUNNING


def test_containers_outlive_their_supervisor(shop):
    """After kill -9 of supervisor and guardian `start` takes them over, with their checks; after another, `stop` stops."""
    before = _containers(shop)
    _kill(shop)
    states = shop.states()
    assert {name for name, each in states.items() if each["status"] == "Running"} == {"db", "front"}
    assert "its supervisor was killed" in states["db"]["note"]
    shop.esker("services", "start")
    assert _containers(shop) == before
    assert _running(shop) == RUNNING
    _kill(shop)
    stopped = shop.esker("services", "stop").stderr
    assert {name for name in ("db", "front") if f"✔ Service '{name}' stopped" in stopped} == {"db", "front"}
    assert _containers(shop) == set()


@pytest.mark.parametrize(("how", "words"), [(("kill",), "status 137"), (("rm", "--force"), "")])
def test_a_container_that_is_killed_or_removed(shop, how, words):
    """Podman's events tell it; the next start begins it again."""
    shop.engine.docker(*how, "shop-front-1")
    shop.esker("services", "wait", "front", "--for", "stopped", "--timeout", "5")
    state = shop.states()["front"]
    assert state["status"] == "Error"
    assert words in state["message"]
    assert _running(shop) == RUNNING - {"front"}


def test_an_unhealthy_container(place):
    """The check's own words are there, and nothing is left running."""
    check = "healthcheck: {test: 'echo not yet; exit 1', interval: 100ms, retries: 2}"
    other = place.checkout(
        name="unhealthy",
        compose=f"services: {{web: {{image: busybox, stop_signal: SIGKILL, command: sleep 99, {check}}}}}",
    )
    told = other.refused("services", "start", "--timeout", "20")
    assert "service `web` does not become healthy: not yet" in told
    assert other.engine.docker("ps", "-q", "--filter", "name=unhealthy").split() == []


def test_podman_lacks_its_init(place):
    """`init: true` needs a program that is packaged apart: its name is told."""
    other = place.checkout(name="init", compose="services: {web: {image: busybox, init: true, command: sleep 99}}")
    told = other.refused("services", "start")
    assert "catatonit" in told
    assert "hint: install `catatonit`" in told


def test_podman_is_killed(shop):
    """Its containers run on without it; services in them are not watched any more, and the next start finds them."""
    before = _containers(shop)
    shop.engine.kill()
    try:
        shop.esker("services", "wait", "db", "--for", "stopped", "--timeout", "10")
        assert "the container engine has ended, so `db` is not watched any more" in shop.states()["db"]["message"]
    finally:
        shop.engine.start()
    assert _containers(shop) == before
    shop.esker("services", "start")
    assert _containers(shop) == before
    assert _running(shop) == RUNNING
