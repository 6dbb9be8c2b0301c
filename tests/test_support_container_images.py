"""What the entry points of the tests' images do: what the documentation of the public images says."""

from __future__ import annotations

import gzip
import os
import subprocess

import pytest

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]


@pytest.fixture
def run(docker_engine):
    """Give a function that runs a container until it ends, and returns its status and what it has said."""

    def ended(*arguments):
        status, printed, messages = docker_engine.ran(*arguments)
        return status, printed + messages

    return ended


@pytest.fixture
def server(docker_engine):
    """Give a function that starts a container named `server`, and waits until a command in it succeeds."""

    def started(check, *arguments):
        health = ("--health-cmd", check, "--health-interval", "1s", "--health-start-interval", "50ms")
        made = docker_engine.docker(
            "run", "--detach", "--name", "server", *health, "--health-start-period", "30s", *arguments
        )
        events = ("--filter", f"container={made.strip()}", "--since", "0", "--format", "{{.Action}}")
        command = ["docker", "events", *events]
        environ = os.environ | docker_engine.variables
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as watched:
            assert watched.stdout is not None
            last = next(line for line in watched.stdout if line.startswith(("die", "health_status")))
            watched.terminate()
        assert last == "health_status: healthy\n", docker_engine.docker("logs", "server")

    return started


@pytest.fixture
def inside(docker_engine):
    """Give a function that runs a command in the container `server`."""
    return lambda *command: docker_engine.docker("exec", "server", *command).strip()


READY = "pg_isready --host=127.0.0.1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "superuser password is not specified"),
        (
            ("-e", "POSTGRES_PASSWORD=a", "-e", "POSTGRES_PASSWORD_FILE=/etc/hostname"),
            "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set",
        ),
    ],
)
def test_postgres_refuses_to_begin(run, options, words):
    """A data directory is not made without a password, and not with two."""
    status, text = run(*options, "postgres:17-alpine")
    assert status == 1
    assert words in text


def test_postgres_is_made_as_its_variables_say(server, inside, run, tmp_path):
    """User, database, arguments of initdb, and scripts of each kind by name; the network asks for the password."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "10-table.sql").write_text("CREATE TABLE steps (name text);")
    (scripts / "20-compressed.sql.gz").write_bytes(gzip.compress(b"INSERT INTO steps VALUES ('compressed');"))
    (scripts / "30-sourced.sh").write_text("SOURCED=sourced\n")
    (scripts / "40-run.sh").write_text(
        '#!/bin/bash\nset -e\npsql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" '
        "-c \"INSERT INTO steps VALUES ('run')\"\n"
    )
    (scripts / "40-run.sh").chmod(0o755)
    (scripts / "50-last.sh").write_text(
        'psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "INSERT INTO steps VALUES (\'$SOURCED\')"\n'
    )
    (scripts / "README").write_text("")
    settings = {
        "USER": "app",
        "PASSWORD": "se'cret",
        "DB": "my shop",
        "INITDB_ARGS": "--data-checksums --encoding='UTF8'",
    }
    variables = [f"--env=POSTGRES_{name}={value}" for name, value in settings.items()]
    server(READY, *variables, "-v", f"{scripts}:/docker-entrypoint-initdb.d", "postgres:17", "-c", "max_connections=17")
    ask = ("psql", "-U", "app", "-d", "my shop", "-Atc")
    assert inside(*ask, "SELECT string_agg(name, ' ') FROM steps") == "compressed run sourced"
    assert inside(*ask, "SHOW data_checksums; SHOW max_connections; SHOW server_version_num").split()[:2] == [
        "on",
        "17",
    ]
    assert inside("stat", "-c", "%U %a", "/var/lib/postgresql/data") == "postgres 700"
    address = inside("hostname", "-i")
    remote = ("postgres:17", "psql", "-h", address, "-U", "app", "-d", "my shop", "-Atc", "SELECT 1")
    assert run("-e", "PGPASSWORD=se'cret", *remote) == (0, "1\n")
    assert "password authentication failed" in run("-e", "PGPASSWORD=wrong", *remote)[1]


def test_a_script_that_fails_ends_the_start_of_postgres(run, tmp_path):
    """A database with half of its scripts is not served."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/bad.sql").write_text("SELEC 1;")
    options = ("-e", "POSTGRES_HOST_AUTH_METHOD=trust", "-v", f"{tmp_path}/scripts:/docker-entrypoint-initdb.d")
    status, text = run(*options, "postgres:17")
    assert status == 3
    assert 'syntax error at or near "SELEC"' in text
    (tmp_path / "scripts").chmod(0o700)
    assert "Permission denied" in run(*options, "postgres:17")[1]


def test_postgres_runs_as_the_user_that_it_is_given(server, inside):
    """Started as another user than root, it changes no owner, and stops in time."""
    options = ("--user", "999:999", "--tmpfs", "/var/lib/postgresql/data:uid=999,gid=999,mode=700")
    server(READY, *options, "-e", "POSTGRES_HOST_AUTH_METHOD=trust", "postgres:17-alpine")
    assert inside("psql", "-U", "postgres", "-Atc", "SELECT 1") == "1"


@pytest.mark.parametrize(("image", "name"), [("valkey/valkey:8-alpine", "valkey"), ("redis:7-alpine", "redis")])
def test_options_alone_are_those_of_the_server(server, inside, run, tmp_path, image, name):
    """It runs as its own user, asks for the password, answers other containers, and keeps its data in /data."""
    server(f"{name}-cli -a secret ping | grep PONG", image, "--requirepass", "secret", "--appendonly", "yes")
    assert inside("stat", "-c", "%U", "/data/appendonlydir") == name
    ask = f"{name}-cli -h {inside('hostname', '-i')}"
    # Into a file: what a container says has been lost on its way through the engine.
    asked = f"{ask} --pass secret --no-auth-warning ping > /replies/right; {ask} ping > /replies/wrong 2>&1"
    assert run("-v", f"{tmp_path}:/replies", image, "sh", "-c", asked)[0] == 0
    assert (tmp_path / "right").read_text() == "PONG\n"
    assert "NOAUTH" in (tmp_path / "wrong").read_text()


def test_nginx_serves_pages_and_fills_in_templates(server, inside, tmp_path):
    """Variables stand in templates; a file of the host is served."""
    (tmp_path / "site.conf.template").write_text(
        "server { listen ${PORT}; location / { return 200 'from ${NAME}'; } }\n"
    )
    (tmp_path / "index.html").write_text("a page")
    volumes = (
        "-v",
        f"{tmp_path}:/etc/nginx/templates",
        "-v",
        f"{tmp_path}/index.html:/usr/share/nginx/html/index.html",
    )
    server("wget -qO- http://127.0.0.1", *volumes, "-e", "PORT=8080", "-e", "NAME=a|b&c", "nginx:alpine")
    assert inside("wget", "-qO-", "http://127.0.0.1") == "a page"
    assert inside("wget", "-qO-", "http://127.0.0.1:8080") == "from a|b&c"


def test_python_has_its_library(run):
    """An image of a service in Python can do what its library can."""
    code = "import ctypes, http.server, json, sqlite3, ssl; print(sqlite3.connect(':memory:').execute('select 1').fetchone())"
    assert run("python:3-slim", "python", "-c", code) == (0, "(1,)\n")
