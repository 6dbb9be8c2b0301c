"""A project's image under a real engine and in a real registry: it is loaded, goes healthy, is pushed and pulled."""

from __future__ import annotations

import json
import os
import subprocess
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
_PATIENCE = 40
"""Seconds."""


@pytest.fixture
def docker():
    """Give a function that runs `docker` with an engine of its own, and returns what it prints."""
    from tests.support.containers.engine import DockerEngine

    with DockerEngine() as engine:

        def run(*arguments):
            command = ["docker", *map(str, arguments)]
            done = subprocess.run(
                command, env=os.environ | engine.variables, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        run.variables = engine.variables
        yield run


def test_an_image_from_the_lock_to_a_healthy_container(project, esker, index, docker, tmp_path):
    """Loaded, it runs as its user and goes healthy; pushed, it is the same image for docker and skopeo."""
    from tests.support import image_tools
    from tests.support.conda_channel import CondaChannel
    from tests.support.conda_debian import debian_packages
    from tests.support.conda_sysroot import sysroot_packages

    index.add("saying", "1.0", {"saying.py": 'WORD = "hello"\n'})
    with CondaChannel([*debian_packages(), *sysroot_packages()]) as channel:
        manifest = MANIFEST.format(system=SYSTEM, channel=channel.url, subdir=SUBDIR, check=CHECK)
        directory = project(manifest)
        (directory / "app").mkdir()
        (directory / "app/serve.py").write_text(SERVE)
        subprocess.run(["git", "init", "--quiet"], cwd=directory, check=True)
        subprocess.run(["git", "add", "app"], cwd=directory, check=True)
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
            done = esker("image", "push", target, "--json", "--tag", "1.0", **docker.variables)
            assert done.status == 0, done.err
            pushed = json.loads(done.out)
            again = json.loads(esker("image", "push", target, "--json", "--tag", "1.0").out)
            assert (pushed["changed"], again["changed"], again["digest"]) == (True, False, pushed["digest"])
            seen = json.loads(image_tools.skopeo("inspect", "--tls-verify=false", f"docker://{target}"))
            assert seen["Digest"] == pushed["digest"]
            assert esker("image", "verify", target).status == 0
            docker("pull", target)
            pulled = docker("run", "--rm", target, "python", "-c", "import saying; print(saying.WORD)")
            assert pulled == "hello"
