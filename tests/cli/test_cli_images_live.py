"""Images under a real engine and in a real registry: loaded, healthy, with services or without, pushed and pulled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.support.conda_package import SUBDIR

pytestmark = [pytest.mark.live("images"), pytest.mark.slow]

SYSTEM = {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR]
SERVE = """\
import os, saying
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{saying.WORD} {os.environ['MODE']} {os.getuid()}".encode())

HTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
CHECK = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000').read().decode())"
MANIFEST = """schema-version = "1.14.0"
[options]
systems = ["{system}"]
[vars]
MODE = "development"
[containerize.config]
user = "app"
cmd = ["python", "serve.py"]
exposed-ports = ["8000"]
working-dir = "/srv/app"
stop-signal = "SIGKILL"
[plugins.esker.conda]
channels = ["{channel}"]
dependencies = ["python 3.11.*", "jq", "git", "bash", "sysroot_{subdir}"]
[plugins.esker.python]
dependencies = ["saying"]
[plugins.esker.image]
files = {{ "/srv" = ["app"] }}
vars = {{ MODE = "production" }}
layers = [{{ name = "python", packages = ["python"] }}]
[plugins.esker.image.healthcheck]
test = ["python", "-c", "{check}"]
interval = "500ms"
"""
SERVICES = """schema-version = "1.14.0"
[options]
systems = ["{system}"]
[vars]
GREETING = "hello"
URL = "http://127.0.0.1:$WEB_PORT"
[containerize.config]
user = "app"
working-dir = "/srv"
[services]
first.command = "{first}; echo made >$FLOX_ENV_CACHE/made"
web.command = "test -f $FLOX_ENV_CACHE/made && exec python -m http.server --directory $FLOX_ENV_CACHE $WEB_PORT"
left.command = "(sleep 1000 &) ; sleep 0.1 ; exec sleep 1000"
[plugins.esker.services.first]
type = "oneshot"
[plugins.esker.services.web]
depends-on = {{ first = "service_completed_successfully" }}
healthcheck = {{ http = "http://127.0.0.1:$WEB_PORT" }}
ports = {{ WEB_PORT = 0 }}
[plugins.esker.conda]
channels = ["{channel}"]
dependencies = ["python 3.11.*", "bash", "coreutils", "sysroot_{subdir}"]
[plugins.esker.image]
services = true
"""
_PATIENCE = 40
"""Seconds."""


@pytest.fixture(scope="module")
def docker():
    """Give a function that runs `docker` with an engine of its own; it returns output and status."""
    from tests.support.containers.engine import DockerEngine

    with DockerEngine() as engine:

        def run(*arguments, status=0):
            command = ["docker", *map(str, arguments)]
            environ = os.environ | engine.variables
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
            assert status is None or done.returncode == status, done.stderr
            return done.stdout.strip()

        run.variables = engine.variables
        run.said = lambda *arguments: engine.said(*arguments).strip()
        yield run


@pytest.fixture(scope="module")
def channel():
    """Give a channel with Debian's programs, a C library and bash."""
    from tests.support.conda_channel import CondaChannel
    from tests.support.conda_debian import debian_packages
    from tests.support.conda_sysroot import sysroot_packages

    with CondaChannel([*debian_packages(), *sysroot_packages()]) as served:
        yield served


def write_served(project, index, channel):
    """Write a project whose image serves a page, and checks it."""
    index.add("saying", "1.0", {"saying.py": 'WORD = "hello"\n'})
    manifest = MANIFEST.format(system=SYSTEM, channel=channel.url, subdir=SUBDIR, check=CHECK)
    directory = project(manifest)
    (directory / "app").mkdir()
    (directory / "app/serve.py").write_text(SERVE)
    subprocess.run(["git", "init", "--quiet"], cwd=directory, check=True)
    subprocess.run(["git", "add", "app"], cwd=directory, check=True)


def test_an_image_from_the_lock_to_a_healthy_container(project, esker, index, docker, channel, tmp_path):
    """Loaded, it runs as its user and goes healthy; pushed, it is the same image for docker and skopeo."""
    from tests.support import image_tools

    write_served(project, index, channel)
    for arguments in (("lock",), ("containerize", "--tag", "1.0")):
        done = esker(*arguments, **docker.variables)
        assert done.status == 0, done.err
    name = docker("run", "--detach", "--read-only", "project:1.0")
    deadline = time.monotonic() + _PATIENCE
    while (state := docker("inspect", "--format", "{{.State.Health.Status}}", name)) != "healthy":
        assert time.monotonic() < deadline, (state, docker("logs", name), docker("inspect", name))
        time.sleep(0.2)
    assert docker("exec", name, "python", "-c", CHECK) == "hello production 10000"
    assert docker("exec", name, "jq", "-n", "-c", "[1]") == "[1]"
    assert docker("exec", name, "git", "--version").startswith("git version")
    docker("rm", "--force", name)
    with image_tools.RegistryServer(tmp_path / "registry") as registry:
        target = f"{registry.host}/team/app:1.0"
        done = esker("image", "push", target, "--json", **docker.variables)
        assert done.status == 0, done.err
        pushed = json.loads(done.out)
        again = json.loads(esker("image", "push", target, "--json").out)
        assert (pushed["changed"], again["changed"], again["digest"]) == (True, False, pushed["digest"])
        seen = json.loads(image_tools.skopeo("inspect", "--tls-verify=false", f"docker://{target}"))
        assert seen["Digest"] == pushed["digest"]
        checked = esker("image", "verify", "--sbom", target)
        assert checked.status == 0, checked.err
        assert ([each["new"] for each in pushed["sbom"]], [each["new"] for each in again["sbom"]]) == ([True], [False])
        tag = f"docker://{registry.host}/team/app:{pushed['digest'].replace(':', '-')}"
        listed = json.loads(image_tools.skopeo("inspect", "--raw", "--tls-verify=false", tag))
        assert [each["digest"] for each in listed["manifests"]] == [pushed["sbom"][0]["digest"]]
        docker("pull", target)
        pulled = docker.said(target, "python", "-c", "import saying; print(saying.WORD)")
        assert pulled == "hello"


def test_the_command_makes_the_same_bytes_elsewhere(project, environ, esker, index, channel, tmp_path):
    """Of another directory, with another date, home, user, umask, language and store, and without a lock of the image.

    Conda's Python compiles the wheel's modules and the project's each time.
    """
    from tests.support import image_tools

    write_served(project, index, channel)
    directory = tmp_path / "project"
    done = esker("lock")
    assert done.status == 0, done.err
    (library,) = (image_tools.ROOT.path() / "usr/lib").glob("*-linux-gnu/faketime/libfaketimeMT.so.1")
    other = {"HOME": str(tmp_path / "other"), "ESKER_STORE": str(tmp_path / "other/store"), "TZ": "Asia/Tokyo"}
    other |= {"LANG": "C", "PYTHONHASHSEED": "2", "LD_PRELOAD": str(library), "FAKETIME": "@2031-05-06 07:08:09"}
    as_other = ["unshare", "--user", "--map-user=1234", "--map-group=1234"]
    command = [sys.executable, "-m", "esker", "containerize", "-f", "-"]
    asked = [*as_other, sys.executable, "-c", "import os, time; print(time.localtime().tm_year, os.getuid())"]
    assert subprocess.run(asked, env=environ | other, capture_output=True, check=True).stdout == b"2031 1234\n"

    def written(place, umask, variables, *prefix):
        done = subprocess.run(
            [*prefix, *command], cwd=place, env=environ | variables, umask=umask, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout, (place / ".flox/image.lock").read_bytes()

    elsewhere = tmp_path / "elsewhere" / "another"
    shutil.copytree(directory, elsewhere, symlinks=True, ignore=shutil.ignore_patterns("cache", "run", "log"))
    (tmp_path / "other").mkdir()
    assert written(directory, 0o022, {}) == written(elsewhere, 0o077, other, *as_other)


def test_podman_runs_it_healthy(project, esker, index, channel):
    """Podman loads the same image; it runs as its user, and its health check succeeds."""
    from tests.support.containers.podman import PodmanEngine

    write_served(project, index, channel)
    with PodmanEngine() as engine:
        variables = {"PATH": engine.variables["PATH"], "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        for arguments in (("lock",), ("containerize", "--runtime", "podman", "--tag", "1.0")):
            done = esker(*arguments, **variables)
            assert done.status == 0, done.err

        def podman(*arguments):
            ran = engine.podman(*arguments)
            assert ran.returncode == 0, ran.stderr
            return ran.stdout.strip()

        name = engine.docker("run", "--detach", "--read-only", "--network=none", "project:1.0").strip()
        deadline = time.monotonic() + _PATIENCE
        while (check := engine.podman("healthcheck", "run", name)).returncode:  # nothing runs it here by itself
            assert time.monotonic() < deadline, f"{check.stdout}{check.stderr}{podman('logs', name)}"
            time.sleep(0.2)
        assert podman("inspect", "--format", "{{.State.Health.Status}}", name) == "healthy"
        assert podman("exec", name, "python", "-c", CHECK) == "hello production 10000"
        podman("rm", "--force", "--time", "0", name)


def loaded(project, esker, docker, channel, first="echo first $GREETING"):
    """Make the image of a project, and have the engine load it."""
    directory = project(SERVICES.format(system=SYSTEM, channel=channel.url, subdir=SUBDIR, first=first))
    subprocess.run(["git", "init", "--quiet"], cwd=directory, check=True)
    for arguments in (("lock",), ("containerize",)):
        done = esker(*arguments, **docker.variables)
        assert done.status == 0, done.err


def test_services_in_a_container(project, esker, docker, channel):
    """They start in their order, the container goes healthy by them, and a stop ends each within its grace."""
    loaded(project, esker, docker, channel)
    name = docker("run", "--detach", "project:latest")
    deadline = time.monotonic() + _PATIENCE
    while docker("inspect", "--format", "{{.State.Health.Status}}", name) != "healthy":
        assert time.monotonic() < deadline, docker("logs", name) + docker("inspect", name)
        time.sleep(0.2)
    logs = docker("logs", name)
    assert "first | first hello" in logs
    assert docker("exec", name, "/opt/esker/services/health") == "healthy"
    assert docker("exec", name, "cat", "/proc/1/comm") == "esker-guardian"
    fetch = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:20000/made').read().decode())"
    assert docker("exec", name, "python", "-c", fetch) == "made"
    assert docker.said("project:latest", "bash", "-c", "id -u; echo $GREETING") == "10000\nhello"
    docker("stop", "--time", "20", name)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    docker("rm", name)
    # One that is asked to end before its services have started ends alike, and says nothing of an error.
    name, deadline = docker("run", "--detach", "project:latest"), time.monotonic() + _PATIENCE
    while not _takes(status := docker("exec", name, "cat", "/proc/1/status"), signal.SIGTERM):
        assert time.monotonic() < deadline, status
    docker("stop", "--time", "20", name)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    environ = os.environ | docker.variables
    said = subprocess.run(["docker", "logs", name], env=environ, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    docker("rm", name)


def _takes(status, number):
    """Return whether the process with this `/proc/PID/status` has a signal wait for it, or is the one that waits for it.

    The kernel shows a signal that somebody waits for as one that is not blocked.
    """
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return fields["Name"].strip() == "esker-guardian" or bool(int(fields["SigBlk"], 16) >> (number - 1) & 1)


def test_a_service_that_does_not_start(project, esker, docker, channel):
    """The container ends with status 1, and its log says why."""
    loaded(project, esker, docker, channel, "echo because; exit 3")
    name = docker("run", "--detach", "project:latest")
    assert docker("wait", name) == "1"
    environ = os.environ | docker.variables
    said = subprocess.run(["docker", "logs", name], env=environ, capture_output=True, text=True, check=True)
    assert "because" in said.stdout + said.stderr
    assert "`first`" in said.stderr
