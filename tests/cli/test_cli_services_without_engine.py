"""A project with processes and a Compose file, on a machine without a container engine: what works, and what says why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.containers.absent import ENGINE_DOWN, programs, write_docker

pytestmark = pytest.mark.slow

MANIFEST = """\
schema-version = "1.14.0"
[services.api]
command = "echo up; exec sleep 1000"
[services.cache]
command = "exec sleep 1000"
[services.front]
command = "exec sleep 1000"
[plugins.esker.services.api]
depends-on = { cache = "service_started" }
ports = { API_PORT = 0 }
user = "root"
[plugins.esker.services.cache]
user = "root"
[plugins.esker.services.front]
depends-on = { db = "service_healthy" }
[plugins.esker.compose]
"""
WHY = {
    "absent": "the command `docker` is not here",
    "down": "the container engine refuses: Cannot connect to the Docker daemon at unix:///x.sock. Is it running?",
}
ALONE = "what needs no container can be started: esker services start api cache"
OPENING = {"db": "Unknown", "api": "Running", "cache": "Running", "front": "Stopped"}


@pytest.fixture
def why(request, environ, tmp_path):
    """Take the engine away: without `docker`, or in the way that a test names; give the words that tell it."""
    how = getattr(request, "param", "absent")
    environ["PATH"] = programs(tmp_path / "programs")
    if how == "down":
        environ["PATH"] = f"{write_docker(tmp_path / 'bin', ENGINE_DOWN)}:{environ['PATH']}"
    return WHY[how]


BOTH_WAYS = pytest.mark.parametrize("why", WHY, indirect=True)


@pytest.fixture
def shop(why, project):
    """Give the project; a test that starts services stops them."""
    directory = project(MANIFEST)
    (directory / "compose.yaml").write_text("services: {db: {image: db}}\n")
    return directory


def states(esker):
    """Return the state of each service by its name, from `--json`."""
    return {one["name"]: one for one in json.loads(esker("services", "status", "--json").out)}


@BOTH_WAYS
def test_processes_start_and_stop(esker, shop, why):
    """With their dependencies, and one line says what is left out; all other commands work for them."""
    done = esker("services", "start", "api")
    assert done.status == 0, done.err
    started, cached, left, *more = done.err.splitlines()
    assert (started, cached, more) == ("✔ Service 'api' started.", "✔ Service 'cache' started.", [])
    assert left.startswith("! left out: `db`")
    assert left.endswith(f": {why}")
    assert {name: each["status"] for name, each in states(esker).items() if name in OPENING} == OPENING
    assert esker("services", "logs", "api").out == "up\n"
    logs = esker("services", "logs")
    assert (logs.status, logs.out, logs.err.count(why)) == (0, "api  : up\n", 1)
    assert why in esker("services", "logs", "api", "db").err
    restarted = esker("services", "restart", "api").err
    assert restarted.startswith("✔ Service 'api' restarted.\n! left out: `db`")
    done = esker("services", "stop")
    assert (done.status, "✔ Service 'api' stopped\n" in done.err) == (0, True)


def test_nobody_says_that_a_container_does_not_run(esker, shop, why):
    """A stop names the processes that do not run; what it cannot know, it says once."""
    idle = esker("services", "stop")
    assert idle.status == 0
    assert "! Service 'api' is not running\n" in idle.err
    assert "! Service 'db' is not running\n" not in idle.err
    assert idle.err.count(why) == 1
    done = esker("services", "stop", "api", "--json")
    assert json.loads(done.out)["not_running"] == ["api"]
    assert why not in done.err


@BOTH_WAYS
def test_status_does_not_fail(esker, shop, why):
    """A container is unknown, for people and for programs, and one line says why."""
    done = esker("services", "status")
    assert done.status == 0
    assert next(line for line in done.out.splitlines() if line.startswith("db ")).split()[:3] == ["db", "Unknown", "-"]
    assert done.err.count(why) == 1
    state = states(esker)["db"]
    assert (state["status"], state["pid"], state["ready"]) == ("Unknown", None, False)
    assert state["note"].endswith(f": {why}")
    watched = esker("services", "status", "--watch")
    assert (watched.status, watched.err.count(why)) == (0, 1)


def test_what_needs_a_container_is_refused(esker, shop, why):
    """A start of all services, and an activation with them, name those that can be started."""
    done = esker("services", "start")
    assert done.status == 1
    assert f"✘ ERROR: services of this project run in containers: {why}\n" in done.err
    assert f"; {ALONE}\ncode: no-engine\n" in done.err
    done = esker("activate", "-s", "--", "true")
    assert done.status == 1
    assert f"; {ALONE}; to activate without services: --no-start-services\n" in done.err
    assert {each["status"] for each in states(esker).values()} == {"Stopped", "Unknown"}


@BOTH_WAYS
def test_a_refused_restart_stops_nothing(esker, shop, why):
    """Not even a process that the manifest has lost, which a restart of all would stop."""
    assert esker("services", "start", "cache").status == 0
    manifest = shop / ".flox/env/manifest.toml"
    text = manifest.read_text().replace('depends-on = { cache = "service_started" }', "")
    lost = '[services.cache]\ncommand = "exec sleep 1000"\n', '[plugins.esker.services.cache]\nuser = "root"\n'
    for part in lost:
        assert part in text
        text = text.replace(part, "")
    manifest.write_text(text)
    assert esker("services", "restart").status == 1
    assert states(esker)["cache"]["status"] == "Running"
    assert "✔ Service 'cache' stopped\n" in esker("services", "stop", "cache").err


def test_addresses(esker, shop, why):
    """The automatic port of a process does not depend on an engine; where a container is cannot be known."""
    port = esker("activate", "--", "sh", "-c", "echo $API_PORT").out.strip()
    assert esker("services", "ports") == (
        0,
        f"API_PORT={port}\n",
        f"! the ports of containers cannot be known: {why}\n",
    )
    assert "the ports of `db` cannot be known: " in esker("services", "ports", "db").err
    assert port in esker("services", "urls", "api").out
    assert "where `db` is cannot be known: " in esker("services", "urls", "db").err


def test_the_address_of_a_container_can_be_pasted(esker, project, environ, tmp_path):
    """Its port stands after the host that it is published at, which is the engine's machine unless the file says."""
    said = """{"name": "shop", "services": {
        "db": {"ports": [{"target": 5432, "published": "15432"}]},
        "web": {"ports": [{"target": 80, "published": "18080", "host_ip": "::1"}]}}}"""
    script = (
        f"case $* in *--hash*) printf 'db 0123\\nweb 4567\\n' ;; *config*) echo '{said}' ;; *) echo 2.30.0 ;; esac\n"
    )
    environ["PATH"] = f"{write_docker(tmp_path / 'bin', script)}:{programs(tmp_path / 'programs')}"
    (project() / "compose.yaml").write_text("services: {db: {image: db}, web: {image: web}}\n")
    at_home = "db\n  5432/tcp  127.0.0.1:15432\nweb\n  80/tcp  [::1]:18080\n"
    assert esker("services", "urls") == (0, at_home, "")
    assert esker("services", "urls", "db", DOCKER_HOST="ssh://me@box.invalid") == (
        0,
        "db\n  5432/tcp  box.invalid:15432\n",
        "",
    )


def test_python_and_pytest(esker, shop, why, environ):
    """A `with` block, a decorator and a session of the pytest plugin have the processes; a container is refused."""
    code = """if True:
        from esker.environment import Environment
        from esker.errors import NoEngine
        from esker.flox import flox_required
        with Environment(".", services=["cache"]) as environment:
            print({each.name for each in environment.services.status() if each.pid})
            flox_required(".", services=["cache"])(lambda: print("inside"))()
        try:
            Environment(".", services=["front"]).activate()
        except NoEngine as error:
            print(error.message)
    """
    given = {"cwd": shop, "env": environ, "text": True}
    done = subprocess.run([sys.executable, "-c", code], **given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "{'cache'}",
        "inside",
        f"`front` depends on `db`, which runs in a container: {why}",
    ]
    session = [sys.executable, "-m", "esker", "testing", "--protocol", "1", "--pid", str(os.getpid())]
    requests = [
        {"do": "open", "root": str(shop), "project": "", "environ": environ},
        {"do": "start", "services": ["cache"]},
        {"do": "start", "services": ["front"]},
        {"do": "close", "environ": environ},
    ]
    replies = []
    with subprocess.Popen(session, **given, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for request in requests:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            replies.append(json.loads(process.stdout.readline()))
    assert replies[1]["services"][0]["status"] == "Running"
    assert replies[2]["error"]["code"] == "no-engine"


@BOTH_WAYS
def test_new_ports_need_compose(esker, shop, why):
    """They are chosen where Compose can say which its files leave open; elsewhere nothing is given up."""
    before = esker("services", "ports").out
    done = esker("services", "ports", "--renew")
    if why == WHY["down"]:
        assert (done.status, done.out == before) == (0, False)
    else:
        assert (done.status, esker("services", "ports").out) == (1, before)


@BOTH_WAYS
def test_doctor(esker, shop, why):
    """The engine stays a finding, and what works without it stands there."""
    done = esker("doctor")
    assert done.status == 1
    assert f"✘ docker       services of this project run in containers: {why}\n" in done.out
    works = "without it you can activate the environment, and start what needs no container"
    assert f"; {works}: esker services start api cache\n" in done.out


def test_doctor_where_a_variable_is_a_port_of_a_container(esker, shop, why):
    """Without Compose an activation needs what it has said before; a file that nobody uses is no finding."""
    manifest = shop / ".flox/env/manifest.toml"
    text = manifest.read_text()
    manifest.write_text(f"{text}[plugins.esker.compose.services.db]\nports = {{ PGPORT = 5432 }}\n")
    condition = "as `PGPORT` is a port of a container, only if Compose has read its present files you can activate"
    assert condition in esker("doctor").out
    manifest.write_text(text.replace("[plugins.esker.compose]\n", "").replace('db = "service_healthy"', ""))
    done = esker("doctor")
    assert (done.status, "✘ docker" in done.out) == (0, False)


def test_a_project_with_nothing_but_a_compose_file(esker, shop, why):
    """Its status is empty and says why; `-s` is refused, and does not say that there are no services."""
    (shop / ".flox/env/manifest.toml").write_text('schema-version = "1.14.0"\n')
    done = esker("services", "status")
    assert (done.status, len(done.out.splitlines())) == (0, 1)
    assert done.err == f"! which services the Compose files have cannot be known: {why}\n"
    done = esker("services", "status", "--json")
    assert (done.status, json.loads(done.out), done.err.count(why)) == (0, [], 1)
    done = esker("activate", "-s", "--", "true")
    assert (done.status, f"services of this project run in containers: {why}" in done.err) == (1, True)


def test_a_compose_file_beside_a_flake(esker, why, tmp_path):
    """A project without `.flox`, whose environment is a flake, is told the reason too, whatever it is asked for."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "flake.nix").write_text("{ outputs = _: { }; }\n")
    (directory / "compose.yaml").write_text("services: {db: {image: db}}\n")
    for words in (["start"], ["start", "db"], ["hold", "--pid", str(os.getpid()), "--token", "a"], ["restart"]):
        done = esker("services", *words)
        assert done.status != 0
        assert why in done.err, words
