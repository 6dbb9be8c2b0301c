"""The Docker engine of the tests, its images, and Compose on it."""

from __future__ import annotations

import os
import subprocess

import pytest

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


class Project:
    """A directory with a Compose file."""

    def __init__(self, engine, path):
        self.engine, self.path = engine, path

    def compose(self, *arguments):
        """Run Compose there, and return what it prints."""
        return self.engine.docker("compose", "--project-directory", str(self.path), *arguments).strip()

    def psql(self, statement):
        """Ask the server in the container `db`, from here."""
        host, port = self.compose("port", "db", "5432").split(":")
        environ = os.environ | {"PGPASSWORD": "it's secret"}
        command = ["psql", "-h", host, "-p", port, "-U", "app", "-d", "shop", "-Atc", statement]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def two_servers(docker_engine, tmp_path):
    """Give a project with PostgreSQL, Valkey, and a client in a container."""
    (tmp_path / "compose.yaml").write_text(_TWO_SERVERS)
    (tmp_path / "password").write_text("it's secret\n")
    (tmp_path / "init").mkdir()
    (tmp_path / "init/1-table.sql").write_text("CREATE TABLE visits (page text);")
    (tmp_path / "init/2-row.sh").write_text(
        'psql -U "$POSTGRES_USER" -c "INSERT INTO visits VALUES (1)" "$POSTGRES_DB"\n'
    )
    return Project(docker_engine, tmp_path)


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
