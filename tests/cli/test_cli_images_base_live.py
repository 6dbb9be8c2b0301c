"""An image on a base of Debian: from a real registry, in real engines, with wheels on the base's Python."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.support import base_image
from tests.support.base_layout import push_layout

pytestmark = [pytest.mark.live("images"), pytest.mark.slow]

SYSTEM = f"{os.uname().machine}-linux"
SAYING = """
def main():
    import os, pwd, sys, encodings
    print(os.environ["WORD"], os.environ["LANG"], os.environ["HOOKED"], pwd.getpwuid(os.getuid()).pw_name)
    print(sys.prefix, os.path.dirname(encodings.__file__), __file__)
"""
MANIFEST = """schema-version = "1.14.0"
[options]
systems = ["{system}"]
[vars]
WORD = "hello"
[hook]
on-activate = "export HOOKED=yes"
[containerize.config]
user = "app"
cmd = ["saying"]
[plugins.esker.python]
dependencies = ["saying"]
[plugins.esker.image]
from = "{base}"
python = "/usr/bin/python3.11"
"""
SAID = """hello C.UTF-8 yes app
/opt/esker/python /usr/lib/python3.11/encodings /opt/esker/python/lib/python3.11/site-packages/saying.py"""


@pytest.fixture
def registry(tmp_path):
    """Give Debian's registry, which has the base as `base`."""
    from tests.support.image_tools import RegistryServer

    with RegistryServer(tmp_path / "registry") as server:
        push_layout(base_image.ROOT.path() / "layout", server.host, "base")
        yield server


def test_wheels_on_the_python_of_a_base(project, esker, index, registry, tmp_path):
    """Built without conda, it runs in docker and podman; the base's layers are mounted, and named by `inspect`."""
    from tests.support.containers.engine import DockerEngine
    from tests.support.containers.podman import PodmanEngine

    index.add("saying", "1.0", {"saying.py": SAYING}, scripts={"saying": "saying:main"})
    base = f"{registry.host}/base@{base_image.digest()}"
    project(MANIFEST.format(system=SYSTEM, base=base))
    assert esker("lock").status == 0
    target = f"{registry.host}/team/app:1.0"
    done = esker("image", "push", target, "--json")
    assert done.status == 0, done.err
    pushed = json.loads(done.out)
    layers = [each["digest"] for each in base_image.manifest()["layers"]]
    assert {each["digest"] for each in pushed["mounted"]} == {*layers}
    assert not {each["digest"] for each in pushed["uploaded"]} & {*layers}
    requests = len(registry.requests())
    assert json.loads(esker("image", "push", target, "--json").out)["changed"] is False
    assert len(registry.requests()) == requests + 1, "an unchanged base is not asked for"
    done = esker("image", "verify", target)
    assert done.status == 0, done.err
    (shown,) = json.loads(esker("image", "inspect", target, "--json").out)
    assert [layer["name"] for layer in shown["layers"]][:3] == ["base 1", "base 2", "small packages"]
    assert [layer["digest"] for layer in shown["layers"]][:2] == layers
    assert shown["base"] == base
    assert shown["config"]["Labels"] == {"org.example.base": "debian"}
    assert "OnBuild" not in shown["config"]
    archive = tmp_path / "app.tar"
    done = esker("image", "build", "-f", archive, "--tag", "1.0")
    assert done.status == 0, done.err

    with DockerEngine() as engine:
        environ = os.environ | engine.variables
        for arguments in (("pull", target), ("load", "--input", str(archive))):
            subprocess.run(["docker", *arguments], env=environ, check=True, capture_output=True)
        for name in (target, "project:1.0"):
            command = ["docker", "run", "--rm", name]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
            assert (done.stdout.strip(), done.stderr) == (SAID, "")
        script = "ls -d /etc/removed /opt/removed; cat /etc/passwd"
        command = ["docker", "run", "--rm", name, "bash", "-c", script]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        assert lines[0].startswith("root:"), "what the second layer of the base deletes stays away"
        assert {"daemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin", "app:x:10000:10000::/home/app:/bin/sh"} < {*lines}
    with PodmanEngine() as engine:
        done = engine.podman("load", "--input", str(archive))
        assert done.returncode == 0, done.stderr
        done = engine.podman("run", "--rm", "--network", "none", "localhost/project:1.0")
        assert done.stdout.strip() == SAID, done.stderr


def test_what_a_registry_gives_is_checked(project, esker, index, registry):
    """A digest that is not there, and a layer that was altered where the registry keeps it, are refused by name."""
    index.add("saying", "1.0", {"saying.py": SAYING}, scripts={"saying": "saying:main"})
    missing = f"sha256:{'0' * 64}"
    directory = project(MANIFEST.format(system=SYSTEM, base=f"{registry.host}/base@{missing}"))
    assert esker("lock").status == 0
    done = esker("image", "build")
    assert done.status != 0
    assert f"does not have `{missing}` of `base`" in done.err
    base = f"{registry.host}/base@{base_image.digest()}"
    (directory / ".flox/env/manifest.toml").write_text(MANIFEST.format(system=SYSTEM, base=base))
    assert esker("lock").status == 0
    layer = base_image.manifest()["layers"][1]["digest"]
    registry.alter(layer)
    done = esker("image", "build")
    assert done.status != 0
    assert f"the blob `{layer}` is corrupted" in done.err
