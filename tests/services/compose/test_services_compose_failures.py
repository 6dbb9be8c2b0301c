"""What cannot start says so by name and in time, leaves nothing half-up, and touches nothing of others."""

from __future__ import annotations

import json
import os
import shlex
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
OPEN_PORT = f'services: {{web: {{{IDLE}, ports: ["127.0.0.1::80"]}}}}\n'
HTTP = "[plugins.esker.compose.services.web]\nports = { HTTP = 80 }\n"


def _running(checkout):
    """The names of all containers that run."""
    return {*checkout.engine.docker("ps", "--format", "{{.Names}}").split()}


def test_no_engine(place):
    """Nothing listens where the engine should: it says so, and what to do."""
    shop = place.checkout(compose=WEB)
    told = shop.refused("services", "start", DOCKER_HOST=f"unix://{place.path}/absent.sock")
    assert "the container engine refuses: Cannot connect to the Docker daemon" in told
    assert "hint: start the engine, or name another one in DOCKER_HOST" in told
    shop.esker("services", "start")  # and then it is there


def test_no_docker_command(place):
    """Without the program `docker` the message names what to install."""
    shop = place.checkout(compose=WEB)
    told = shop.refused("services", "start", PATH="/nowhere")
    assert "services of this project run in containers: the command `docker` is not here" in told
    assert "hint: install Docker" in told


def test_no_permission(place):
    """Who may not speak to the engine is told how to get there."""
    shop = place.checkout(compose=WEB)
    locked = place.path / "locked.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(locked))
    locked.chmod(0o600)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "docker", "ps")
    done = shop.run(*nobody, DOCKER_HOST=f"unix://{locked}", HOME="/")
    assert "permission denied while trying" in done.stderr.lower()
    listener.close()


def test_a_taken_port(place):
    """The engine's own words name the port; what was started before is stopped again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        shop = place.checkout(
            compose=f'services: {{first: {{{IDLE}}}, web: {{{IDLE}, depends_on: [first], ports: ["127.0.0.1:{port}:80"]}}}}'
        )
        told = shop.refused("services", "start")
    assert "cannot start the container of `web`" in told
    assert f"127.0.0.1:{port}" in told
    assert "hint: end what listens on that port" in told
    assert _running(shop) == set()
    shop.esker("services", "start")
    assert _running(shop) == {"shop-first-1", "shop-web-1"}


def test_an_unhealthy_container(place):
    """Its last lines and the health check's own words are there."""
    check = "healthcheck: {test: 'echo not yet; exit 1', interval: 500ms, retries: 2}"
    command = "sh -c 'echo about to begin; exec sleep 1000'"
    shop = place.checkout(
        compose=f"services: {{first: {{{IDLE}}}, web: {{image: busybox, init: true, command: {command}, {check}}}}}"
    )
    told = shop.refused("services", "start")
    assert "service `web` does not become healthy: not yet" in told
    assert "about to begin" in told
    assert _running(shop) == set()
    assert "its last start failed" in shop.states()["web"]["message"]


def test_a_container_that_ends_at_once(place):
    """Its status and its last lines are there."""
    shop = place.checkout(compose="services: {web: {image: busybox, command: sh -c 'echo no settings >&2; exit 3'}}")
    told = shop.refused("services", "start")
    assert "the container `shop-web-1` of `web` exited with status 3 before it was ready" in told
    assert "no settings" in told


def test_a_missing_image(place):
    """The image is named, and nothing was made."""
    shop = place.checkout(compose=f"services: {{first: {{{IDLE}}}, web: {{image: 'images.invalid/absent:1'}}}}")
    told = shop.refused("services", "start")
    assert "Compose could not pull what `web` needs: the image `images.invalid/absent:1` is not here" in told
    assert shop.engine.docker("ps", "--all", "--quiet") == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services:\n  web:\n   image: busybox\n  image: [x\n", "line 3"),
        ("services: {web: {image: busybox, depends_on: [db]}}", 'service "web" depends on undefined service "db"'),
        ("services: {web: {image: '${IMAGE:?name an image}'}}", "name an image"),
    ],
)
def test_a_file_that_compose_refuses(place, text, words):
    """Compose's own message stands there."""
    shop = place.checkout(compose=text)
    told = shop.refused("services", "start")
    assert "Compose refuses the project's files" in told
    assert words in told


def test_a_hook_that_changes_a_port(place):
    """Compose reads it before the hook, so the two would not agree."""
    manifest = f"{HTTP}[hook]\non-activate = 'export BASE=18080'\n"
    shop = place.checkout(manifest, compose=f'services: {{web: {{{IDLE}, ports: ["127.0.0.1:${{BASE:-18081}}:80"]}}}}')
    shop.write(".flox/env/manifest.toml", (shop.path / ".flox/env/manifest.toml").read_text() + _HOST_SERVICE)
    told = shop.refused("services", "start")
    assert "the hook sets `BASE`, which a port of `web` in the Compose file is made from" in told
    assert _running(shop) == set()


def test_a_hook_that_sets_the_variable_of_a_port(place):
    """The variable would lead elsewhere than to the container."""
    manifest = f"{HTTP}[hook]\non-activate = 'export HTTP=7979'\n"
    shop = place.checkout(manifest, compose=f'services: {{web: {{{IDLE}, ports: ["127.0.0.1::80"]}}}}')
    shop.write(".flox/env/manifest.toml", (shop.path / ".flox/env/manifest.toml").read_text() + _HOST_SERVICE)
    assert "the hook sets `HTTP`, which is the port of `web`" in shop.refused("services", "start")
    assert _running(shop) == set()


def test_a_file_that_compose_refuses_by_now_keeps_nobody_from_stopping(place):
    """`status` shows what runs, `logs` what it wrote, and `stop` stops it, with a supervisor and without."""
    text = "image: busybox, init: true, command: sh -c 'echo hello; sleep 1000', ports: ['127.0.0.1::80']"
    host = "[services.tick]\ncommand = 'echo tick; exec sleep 1000'\n"
    shop = place.checkout(host + HTTP, compose=f"services: {{web: {{{text}}}}}")
    shop.esker("services", "start")
    shop.write("compose.yaml", "services: {web: {imgae: busybox}}\n")
    assert "imgae is not allowed" in shop.refused("activate", "--", "true")
    for name, line in (("web", "hello\n"), ("tick", "tick\n")):
        assert shop.esker("services", "logs", name).stdout == line
    assert "service `other` does not exist" in shop.refused("services", "logs", "other")
    for names in ({"web", "tick"}, {"web"}):
        done = shop.esker("services", "status")
        assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == names
        assert "these are the services that run; Compose refuses the project's files" in done.stderr
        if "tick" in names:
            _kill(shop.record)
    assert shop.esker("services", "logs", "web").stdout == "hello\n"
    assert "✔ Service 'web' stopped" in shop.esker("services", "stop").stderr
    assert _running(shop) == set()
    assert "imgae is not allowed" in shop.refused("services", "status")


def _kill(record):
    """Kill a supervisor and its guardian, as nothing can prevent."""
    for pid, start in (record.guardian, record.supervisor):
        with pidfd.opened(pid, start) as descriptor:
            pidfd.send(descriptor, signal.SIGKILL)
            assert pidfd.wait(descriptor, 10)


_HOST_SERVICE = "[services.tick]\ncommand = 'exec sleep 1000'\n"


def test_a_container_name_of_another_checkout(place):
    """The name and its owner are named, before anything is made; the other container runs on."""
    named = f"services: {{web: {{{IDLE}, container_name: the-web}}}}"
    first, second = place.checkout(compose=named, name="first"), place.checkout(compose=named, name="second")
    first.esker("services", "start")
    told = second.refused("services", "start")
    assert "the name `the-web`, which the Compose file gives the container of `web`" in told
    assert f"has a container of `{first.path}`" in told
    assert _running(first) == {"the-web"}
    assert first.states()["web"]["status"] == "Running"


@pytest.mark.parametrize("how", ["external: true", "name: shared-data"])
def test_a_volume_that_another_checkout_uses(place, how):
    """Two servers on one volume destroy its data: the second start is refused while the first runs."""
    place.engine.docker("volume", "create", "shared-data")
    volume = f"{{name: shared-data, {how}}}" if "external" in how else f"{{{how}}}"
    text = f'services: {{db: {{{IDLE}, volumes: ["data:/data"]}}}}\nvolumes: {{data: {volume}}}\n'
    first, second = place.checkout(compose=text, name="first"), place.checkout(compose=text, name="second")
    first.esker("services", "start")
    told = second.refused("services", "start")
    assert "the volume `shared-data` of `db` is in use by the container `first-db-1`" in told
    assert _running(first) == {"first-db-1"}
    first.esker("services", "stop")
    second.esker("services", "start")


def test_an_external_volume_outlives_a_reset(place):
    """It is named as one that was left."""
    place.engine.docker("volume", "create", "kept-data")
    text = f'services: {{db: {{{IDLE}, volumes: ["data:/data", "own:/own"]}}}}\n'
    shop = place.checkout(compose=f"{text}volumes: {{data: {{external: true, name: kept-data}}, own: {{}}}}\n")
    shop.esker("services", "start")
    made = shop.engine.docker("volume", "inspect", "--format", "{{.CreatedAt}}", "kept-data")
    shop.engine.docker("exec", "shop-db-1", "touch", "/data/one", "/own/one")
    told = shop.esker("services", "reset", "db", "--yes").stderr
    assert "! The volume `kept-data` is external, so it was left as it is" in told
    assert shop.engine.docker("exec", "shop-db-1", "ls", "/data", "/own").split() == ["/data:", "one", "/own:"]
    assert shop.engine.docker("volume", "inspect", "--format", "{{.CreatedAt}}", "kept-data") == made


def test_a_container_that_ran_before(place):
    """It is used as it is, never stopped by `stop`, which says so, but by `stop --force`, with a supervisor or without."""
    shop = place.checkout(compose=WEB)
    shop.compose("up", "--detach")
    before = shop.engine.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", "shop-web-1")
    for force in ((), ("--force",)):
        shop.esker("services", "start")
        assert "! Service 'web' runs on: its" in shop.esker("services", "restart").stderr
        assert shop.engine.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", "shop-web-1") == before
        told = shop.esker("services", "stop", *force).stderr
        if not force:
            assert "! Service 'web' runs on: its container ran before Esker used it" in told
            assert _running(shop) == {"shop-web-1"}
    assert _running(shop) == set()
    shop.compose("up", "--detach")
    assert "✔ Service 'web' stopped" in shop.esker("services", "stop", "--force").stderr
    assert _running(shop) == set()


def test_a_container_that_has_to_be_killed(place):
    """`stop`, `restart` and `reset` say it, and which keys of the Compose file decide that."""
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}, stop_signal: SIGWINCH, stop_grace_period: 1s}}}}\n")
    shop.esker("services", "start")
    told = (
        "! Service 'web' did not end within 1 s of SIGWINCH, and was killed (see `stop_signal` and `stop_grace_period` "
        "in the Compose file)"
    )
    for command in (("restart",), ("reset", "web", "--yes"), ("stop",)):
        assert told in shop.esker("services", *command).stderr.splitlines()


def test_a_container_with_another_port(place):
    """One that was begun by hand outside of an activation has a port that no variable tells."""
    shop = place.checkout(HTTP, compose=OPEN_PORT)
    shop.compose("up", "--detach")
    told = shop.refused("services", "start")
    assert "port 80/tcp of the running container `shop-web-1` is published as" in told
    assert f"but `HTTP` is {shop.inside('echo $HTTP')}" in told
    shop.esker("services", "stop", "--force")
    shop.esker("services", "start")
    port = shop.engine.docker("port", "shop-web-1", "80").strip().rpartition(":")[2]
    assert port == shop.inside("echo $HTTP")


def test_a_fixed_port_has_its_variable(place):
    """A variable of the caller or a default of the file decides, and the activation tells which it was."""
    text = f'services: {{web: {{{IDLE}, ports: ["${{HTTP:-18765}}:80"]}}}}'
    shop = place.checkout(HTTP, compose=text)
    assert shop.inside("echo $HTTP") == "18765"
    shop.esker("services", "start")
    assert shop.states()["web"]["ports"] == {"HTTP": 18765}
    before = shop.engine.docker("inspect", "--format", "{{.Id}}", "shop-web-1")
    shop.inside("docker compose up -d 2>&1")
    assert shop.engine.docker("inspect", "--format", "{{.Id}}", "shop-web-1") == before
    assert not shop.states()["web"]["outdated"]


@pytest.mark.parametrize("how", [("kill",), ("rm", "--force")])
def test_a_container_that_is_killed(place, how):
    """Its service has failed, says why, and the next start begins it again."""
    shop = place.checkout(compose=f"services: {{first: {{{IDLE}}}, web: {{{IDLE}}}}}")
    shop.esker("services", "start")
    shop.engine.docker(*how, "shop-web-1")
    shop.esker("services", "wait", "web", "--for", "stopped", "--timeout", "5")
    state = shop.states()["web"]
    assert state["status"] == "Error"
    assert ("status 137" if how == ("kill",) else "was removed while it ran") in state["message"]
    assert shop.states()["first"]["status"] == "Running"
    shop.esker("services", "start")
    assert _running(shop) == {"shop-first-1", "shop-web-1"}


def test_an_engine_that_is_killed(place):
    """Services in containers have failed by name, those of this machine run on, and the next start recovers."""
    shop = place.checkout(_HOST_SERVICE + "[plugins.esker.compose]\n", compose=WEB)
    shop.esker("services", "start")
    place.engine.kill()
    try:
        deadline = time.monotonic() + 10
        while (state := shop.states()["web"])["status"] != "Error" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "the container engine has ended, so `web` is not watched any more" in state["message"]
        assert shop.states()["tick"]["status"] == "Running"
        assert "Cannot connect" in shop.refused("services", "start")
    finally:
        place.engine.start()
    shop.esker("services", "start")
    assert _running(shop) == {"shop-web-1"}
    assert shop.states()["web"]["status"] == "Running"


def test_an_engine_that_is_killed_during_a_start(place):
    """The start ends with an error that says so, in time."""
    check = "healthcheck: {test: 'exit 1', interval: 1s, retries: 100}"
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}, {check}}}}}")
    begun = shop.begin("services", "start")
    _until(lambda: _running(shop))
    place.engine.kill()
    try:
        _, err = begun.communicate(timeout=20)
    finally:
        place.engine.start()
    assert begun.returncode == 1
    assert "the container engine has ended" in err or "cannot connect" in err.lower()


@pytest.mark.parametrize("moment", ["made", "runs"])
def test_a_supervisor_that_is_killed_during_a_start(place, moment):
    """The next start finds what is there, and uses it; another project is not touched."""
    other = place.checkout(compose=WEB, name="other")
    other.esker("services", "start")
    check = "healthcheck: {test: 'test -e /ready', interval: 50ms, retries: 1000}"
    shop = place.checkout(compose=f"services: {{web: {{{IDLE}, {check}}}}}")
    begun = shop.begin("services", "start")
    listed = ("ps", "--all", "--quiet") if moment == "made" else ("ps", "--quiet")
    _until(lambda: shop.engine.docker(*listed, "--filter", "name=shop-web"))
    _kill(shop.record)
    _, err = begun.communicate(timeout=20)
    assert begun.returncode == 1, err
    again = shop.begin("services", "start")
    _until(lambda: "shop-web-1" in _running(shop))
    shop.engine.docker("exec", "shop-web-1", "touch", "/ready")
    _, err = again.communicate(timeout=20)
    assert again.returncode == 0, err
    shop.esker("services", "stop")
    assert _running(shop) == {"other-web-1"}
    assert other.states()["web"]["status"] == "Running"


def test_ids_of_others_are_not_believed(place):
    """A file that came with the project names somebody else's container: it is neither shown nor stopped."""
    other = place.checkout(compose=WEB, name="other")
    other.esker("services", "start")
    stranger = place.engine.docker("inspect", "--format", "{{.Id}}", "other-web-1").strip()
    shop = place.checkout(compose=WEB)
    shop.write(".flox/cache/esker/containers.json", json.dumps({"started": {"web": stranger}}))
    assert shop.states()["web"]["status"] == "Stopped"
    shop.esker("services", "stop")
    assert _running(shop) == {"other-web-1"}
    shop.esker("services", "start")
    shop.esker("services", "stop")
    assert _running(shop) == {"other-web-1"}


def test_a_name_that_another_checkout_takes_first(place):
    """A checkout that was activated, but never started, gives way: name, volumes and port change with it."""
    text = f'services: {{db: {{{IDLE}, volumes: ["data:/data"]}}}}\nvolumes: {{data: {{}}}}\n'
    first, second = place.checkout(compose=text, name="a/shop"), place.checkout(compose=text, name="b/shop")
    assert first.inside("echo $COMPOSE_PROJECT_NAME") == second.inside("echo $COMPOSE_PROJECT_NAME") == "shop"
    second.esker("services", "start")
    first.esker("services", "start")
    name = first.inside("echo $COMPOSE_PROJECT_NAME")
    assert name.startswith("shop-")
    assert _running(first) == {"shop-db-1", f"{name}-db-1"}
    second.engine.docker("exec", "shop-db-1", "touch", "/data/one")
    first.esker("services", "reset", "db", "-y")
    first.esker("services", "stop")
    assert second.engine.docker("exec", "shop-db-1", "ls", "/data") == "one\n"


def _until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


def test_an_activation_of_another_environment(place):
    """What one environment exports for Compose is not taken by another that is used inside of it."""
    outer, inner = place.checkout(HTTP, compose=OPEN_PORT, name="outer"), place.checkout(compose=WEB, name="inner")
    plain = place.checkout(compose=WEB, name="plain")
    for around in (outer, plain):
        around.esker("services", "start")
        before = _running(outer)
        around.inside(
            f"{shlex.join(ESKER)} services start -d {inner.path} && {shlex.join(ESKER)} services stop -d {inner.path}"
        )
        assert _running(outer) == before
        assert around.states()["web"]["status"] == "Running"
    assert inner.engine.docker("ps", "--all", "--format", "{{.Names}}", "--filter", "name=inner").split() == [
        "inner-web-1"
    ]


def test_a_restart_is_followed(place):
    """`restart: true` of a dependency restarts the service that says so, and no other."""
    follows = "depends_on: {db: {condition: service_started, restart: true}}"
    shop = place.checkout(
        compose=f"services: {{db: {{{IDLE}}}, app: {{{IDLE}, {follows}}}, other: {{{IDLE}, depends_on: [db]}}}}"
    )
    shop.esker("services", "start")
    before = shop.states()
    shop.esker("services", "restart", "db")
    after = shop.states()
    assert {name for name in after if after[name]["pid"] != before[name]["pid"]} == {"db", "app"}


def test_nothing_is_asked_twice(place):
    """While nothing has changed, neither an activation nor a look at the services asks Compose or the engine."""
    shop = place.checkout(HTTP, compose=OPEN_PORT)
    shop.esker("services", "start")
    port = shop.inside("echo $HTTP")
    shop.states()
    shop.write("broken/docker", "#!/bin/sh\necho no engine was to be asked >&2\nexit 1\n")
    (shop.path / "broken/docker").chmod(0o755)
    broken = f"{shop.path}/broken:{place.environ['PATH']}"
    assert shop.inside("echo $HTTP", PATH=broken) == port
    assert shop.states(PATH=broken)["web"]["status"] == "Running"
    shop.write("compose.yaml", OPEN_PORT.replace("1000", "1001"))
    assert "no engine was to be asked" in shop.esker("services", "status", PATH=broken).stderr
    assert shop.states()["web"]["outdated"]
    shop.esker("services", "start", "--recreate")
    assert not shop.states()["web"]["outdated"]
    assert shop.inside("echo $HTTP") == port


def test_ports_are_shown_and_chosen_anew(place):
    """`services ports` has the variables of containers too; with `--renew` a free port is kept, and a taken one is not."""
    shop = place.checkout(HTTP, compose=OPEN_PORT)
    port = int(shop.inside("echo $HTTP"))
    assert shop.esker("services", "ports").stdout == f"HTTP={port}\n"
    assert shop.esker("services", "ports", "web").stdout == f"HTTP={port}\n"
    assert "service `other` does not exist" in shop.refused("services", "ports", "other")
    with socket.create_server(("127.0.0.1", port)):
        renewed = shop.esker("services", "ports", "--renew")
        assert "Services will use their new ports" in renewed.stderr
        assert renewed.stdout != f"HTTP={port}\n"
        shop.esker("services", "start")
    assert renewed.stdout == f"HTTP={shop.inside('echo $HTTP')}\n"
    assert shop.states()["web"]["ports"] == {"HTTP": int(renewed.stdout.partition("=")[2])}


def test_a_stop_without_the_engine(place):
    """It ends in time, stops what it can, and says what it could not; afterwards a stop succeeds."""
    shop = place.checkout(_HOST_SERVICE + "[plugins.esker.compose]\n", compose=WEB)
    shop.esker("services", "start")
    place.engine.kill()
    try:
        told = shop.refused("services", "stop")
        assert "the container of `web` cannot be stopped: the container engine refuses: Cannot connect" in told
        assert "hint: start the engine" in told
        assert {name: each["status"] for name, each in shop.states().items()} == {"tick": "Stopped", "web": "Error"}
    finally:
        place.engine.start()
    shop.esker("services", "stop")
    assert {each["status"] for each in shop.states().values()} == {"Stopped"}
