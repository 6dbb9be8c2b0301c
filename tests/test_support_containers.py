"""The Docker engine of the tests, its images, and Compose on it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.children import Child
from tests.support.containers.engine import DockerEngine
from tests.support.containers.places import place
from tests.support.containers.podman import PodmanEngine
from tests.support.containers.project import ComposeProject

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

_TWO_SERVERS = """
name: two-servers
services:
  db:
    image: postgres:17-alpine
    environment: {POSTGRES_USER: app, POSTGRES_PASSWORD_FILE: /run/secrets/password, POSTGRES_DB: shop}
    secrets: [password]
    volumes:
      - data:/var/lib/postgresql/data
      - ./init:/docker-entrypoint-initdb.d:ro
    ports: ["127.0.0.1::5432"]
    healthcheck: {test: pg_isready -U app -d shop -h 127.0.0.1, interval: 2s, start_interval: 50ms, start_period: 30s}
  cache:
    image: valkey/valkey:8-alpine
    ports: ["127.0.0.1::6379"]
    healthcheck: {test: [CMD, valkey-cli, ping], interval: 2s, start_interval: 50ms, start_period: 30s}
  client:
    image: redis:7-alpine
    command: redis-cli -h cache set from client
    depends_on: {cache: {condition: service_healthy}}
secrets: {password: {file: ./password}}
volumes: {data: {}}
"""


class Shop(ComposeProject):
    """The project of two servers."""

    def psql(self, statement):
        """Ask the server in the container `db`, from here."""
        host, port = self.compose("port", "db", "5432").split(":")
        environ = os.environ | {"PGPASSWORD": "it's secret"}
        command = ["psql", "-h", host, "-p", port, "-U", "app", "-d", "shop", "-Atc", statement]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def two_servers(docker_engine, tmp_path):
    """Give the project on Docker."""
    return _shop(docker_engine, tmp_path)


@pytest.fixture
def podman_engine():
    """Give Podman with all images."""
    with PodmanEngine() as engine:
        yield engine


def _shop(engine, path):
    """Write a project with PostgreSQL, Valkey, and a client in a container."""
    (path / "compose.yaml").write_text(_TWO_SERVERS)
    (path / "password").write_text("it's secret\n")
    (path / "init").mkdir()
    (path / "init/1-table.sql").write_text("CREATE TABLE visits (page text);")
    (path / "init/2-row.sh").write_text('psql -U "$POSTGRES_USER" -c "INSERT INTO visits VALUES (1)" "$POSTGRES_DB"\n')
    return Shop(engine, path)


def test_compose_starts_servers_that_the_host_reaches_and_whose_data_stay(two_servers):
    """A healthy server is there on its published port, initialised once; what it stores outlives its container."""
    two_servers.compose("up", "--wait", "db", "cache")
    assert two_servers.psql("SELECT * FROM visits") == "1"
    two_servers.psql("INSERT INTO visits VALUES (2)")
    two_servers.compose("stop")
    two_servers.compose("up", "--wait", "db")
    assert two_servers.psql("SELECT * FROM visits ORDER BY page") == "1\n2"
    two_servers.compose("down")
    two_servers.compose("up", "--wait", "db")
    assert two_servers.psql("SELECT * FROM visits ORDER BY page") == "1\n2"
    two_servers.compose("down", "--volumes")
    two_servers.compose("up", "--wait", "db")
    assert two_servers.psql("SELECT * FROM visits") == "1"


def test_a_container_reaches_another_by_its_name(two_servers):
    """The names of services are found on the network of the project."""
    two_servers.compose("up", "client")
    assert two_servers.compose("exec", "cache", "valkey-cli", "get", "from") == "client"


def test_an_engine_that_is_killed_can_be_started_again(docker_engine, tmp_path):
    """Its containers run on without it; the next start finds them, and stops them as Docker does."""
    options = ("--name", "keeper", "--stop-timeout", "0", "--volume", f"{tmp_path}:/here")
    docker_engine.docker("run", "--detach", *options, "busybox", *_BEATING)
    docker_engine.kill()
    with pytest.raises(RuntimeError, match="docker"):
        docker_engine.docker("ps")
    (tmp_path / "beat").unlink(missing_ok=True)
    _wait_until((tmp_path / "beat").exists)
    docker_engine.start()
    assert docker_engine.docker("inspect", "--format", "{{.State.Status}}", "keeper").strip() == "exited"


def test_nothing_is_left_of_an_engine_whose_tests_were_killed(tmp_path):
    """Processes and mounts end with the tests; bridges, control groups and files go with the next engine there."""
    told = tmp_path / "told"
    os.mkfifo(told)
    child = Child(partial(_run_until_killed, told))
    with open(told) as file:
        directory, bridge = file.read().split()
    assert (_processes(directory), Path(directory).exists()) == (True, True)
    child.kill()
    child.wait()
    _wait_until(lambda: not _processes(directory))
    assert directory not in Path("/proc/mounts").read_text()
    with DockerEngine(int(directory.rpartition("-")[2])) as engine:
        assert engine.variables["DOCKER_HOST"] == f"unix://{directory}/docker.sock"
        assert engine.docker("ps", "--all", "--quiet") == ""
        assert not Path(f"/sys/class/net/{bridge}").exists()
    assert not Path(directory).exists()
    assert not list(Path("/sys/fs/cgroup").rglob(Path(directory).name))


def test_an_engine_that_does_not_start_says_why_and_leaves_nothing(monkeypatch):
    """The end of its log is in the message; its place is free again."""
    monkeypatch.setattr(DockerEngine, "_command", lambda self: f"{self._libexec}/dockerd --no-such-option")
    with pytest.raises(RuntimeError, match=r"does not answer: (?s:.*)unknown flag: --no-such-option"), DockerEngine(15):
        """It is not entered."""
    assert not Path("/var/tmp/esker-engine-15").exists()
    with place(15) as free:
        assert list(free.directory.iterdir()) == []


def test_two_engines_never_have_one_place():
    """The second goes to another place, or is told that there is none."""
    with place(15) as taken, place() as other:
        assert other.directory != taken.directory
        with pytest.raises(RuntimeError, match="other tests on this machine have all places"), place(15):
            """It is not entered."""


def test_who_is_not_root_is_told(monkeypatch):
    """Before anything is made."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RuntimeError, match="only root can"), DockerEngine():
        """It is not entered."""


_BEATING = ("sh", "-c", "while :; do touch /here/beat; sleep 0.05; done")


def _wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)


def _run_until_killed(told):
    """Run a container on a network of its own, tell the engine's directory and that network's bridge, and wait."""
    with DockerEngine() as engine:
        network = engine.docker("network", "create", "left").strip()
        engine.docker("run", "--detach", "--network", "left", "nginx:alpine")
        directory = engine.variables["DOCKER_HOST"].removeprefix("unix://").rpartition("/")[0]
        told.write_text(f"{directory} br-{network[:12]}")
        signal.pause()


def _processes(directory):
    """Return whether a process has the directory in its command line."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if directory.encode() in file.read_bytes():
                return True
    return False


def test_podman_runs_the_project_of_compose(podman_engine, tmp_path):
    """Compose drives Podman as it does Docker; its checks are run by hand where nothing else runs them."""
    shop = _shop(podman_engine, tmp_path)
    shop.compose("up", "--detach", "db", "cache")
    database = shop.compose("ps", "--quiet", "db")
    _wait_until(lambda: podman_engine.podman("healthcheck", "run", database).returncode == 0)
    assert shop.states()["db"] == "healthy"
    assert shop.psql("SELECT * FROM visits") == "1"
    shop.compose("down")
    shop.compose("up", "--detach", "db")
    database = shop.compose("ps", "--quiet", "db")
    _wait_until(lambda: podman_engine.podman("healthcheck", "run", database).returncode == 0)
    assert shop.psql("SELECT * FROM visits") == "1"
