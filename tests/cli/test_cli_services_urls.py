"""`esker services urls`: where everything is, without running anything and without secrets."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

MANIFEST = """\
schema-version = "1.14.0"
[vars]
PGHOST = "$ESKER_RUNTIME_DIR"
DATABASE_URL = "postgresql://app:$SECRET@/app?host=$PGHOST&port=$PGPORT"
SITE = "http://127.0.0.1:$PORT/"
[hook]
on-activate = 'touch ran'
[services.postgres]
command = "touch ran"
[services.web]
command = "touch ran"
[services.worker]
command = "touch ran"
[plugins.esker.services.postgres]
ports = { PGPORT = 5432 }
[plugins.esker.services.web]
ports = { PORT = 0 }
"""


def test_it_says_where_everything_is(esker, project):
    """Ports, sockets and URLs of every service, for people and for programs; nothing of the project runs."""
    directory = project(MANIFEST)
    port = json.loads(esker("services", "ports", "--json").out)["PORT"]
    done = esker("services", "urls", "--json", SECRET="hidden")
    postgres, web, worker = json.loads(done.out)
    (socket,) = postgres["sockets"]
    assert socket.endswith("/.s.PGSQL.5432")
    runtime = socket.removesuffix("/.s.PGSQL.5432")
    url = f"postgresql://app@/app?host={runtime}&port=5432"
    assert postgres == {
        "service": "postgres",
        "host": None,
        "ports": {"PGPORT": 5432},
        "sockets": [socket],
        "urls": {"DATABASE_URL": url},
    }
    assert web["urls"] == {"SITE": f"http://127.0.0.1:{port}/"}
    assert worker == {"service": "worker", "host": None, "ports": {}, "sockets": [], "urls": {}}
    shown = esker("services", "urls", SECRET="hidden")
    assert (shown.status, shown.err) == (0, "")
    assert (
        shown.out
        == f"""\
postgres
  PGPORT        5432
  socket        {socket}
  DATABASE_URL  {url}
web
  PORT  127.0.0.1:{port}
  SITE  http://127.0.0.1:{port}/
worker  (no port, socket or URL is known)
"""
    )
    assert not (directory / "ran").exists()


def test_services_can_be_named(esker, project):
    """Only the named ones are shown; a name that is not declared is an error."""
    project(MANIFEST)
    assert [each["service"] for each in json.loads(esker("services", "urls", "web", "--json").out)] == ["web"]
    done = esker("services", "urls", "wbe")
    assert (done.status, done.out) == (1, "")
    assert "service `wbe` does not exist" in done.err


def test_an_environment_without_services_says_how_to_add_one(esker, project):
    """The error names the command that adds a service."""
    project()
    done = esker("services", "urls")
    assert done.status == 1
    assert "Environment does not have any services defined." in done.err
    assert "esker services add postgres" in done.err
