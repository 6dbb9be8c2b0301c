"""An image on a base of Debian: from a real registry, in real engines, with wheels on the base's Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.support import base_image
from tests.support.base_layout import push_layout, write_layout
from tests.support.containers.layers import Layer

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
    assert json.loads(esker("image", "push", target, "--without-sbom", "--json").out)["changed"] is False
    assert len(registry.requests()) == requests + 1, "an unchanged base is not asked for"
    done = esker("image", "verify", target)
    assert done.status == 0, done.err
    (shown,) = json.loads(esker("image", "inspect", target, "--json").out)
    assert [layer["name"] for layer in shown["layers"]][:3] == ["base 1", "base 2", "small packages"]
    assert [layer["digest"] for layer in shown["layers"]][:2] == layers
    assert shown["base"] == base
    assert shown["config"]["Labels"] == {"org.example.base": "debian"}
    assert "OnBuild" not in shown["config"]
    first, *rest = esker("image", "inspect", target).out.splitlines()
    assert first == f"{registry.host}/team/app@{pushed['digest']}"
    assert f"  base: {base}" in rest
    assert "no layers differ" in esker("image", "diff", target, target).out
    archive = tmp_path / "app.tar"
    done = esker("image", "build", "-f", archive, "--tag", "1.0")
    assert done.status == 0, done.err

    with DockerEngine() as engine:
        environ = os.environ | engine.variables
        for arguments in (("pull", target), ("load", "--input", str(archive))):
            subprocess.run(["docker", *arguments], env=environ, check=True, capture_output=True)
        for name in (target, "project:1.0"):
            assert engine.said(name).strip() == SAID
        script = "ls -d /etc/removed /opt/removed; cat /etc/passwd"
        lines = engine.said(name, "bash", "-c", script).splitlines()
        assert lines[0].startswith("root:"), "what the second layer of the base deletes stays away"
        assert {"daemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin", "app:x:10000:10000::/home/app:/bin/sh"} < {*lines}
    with PodmanEngine() as engine:
        done = engine.podman("load", "--input", str(archive))
        assert done.returncode == 0, done.stderr
        assert engine.said("--network=none", "localhost/project:1.0").strip() == SAID


def test_what_a_registry_gives_is_checked(project, esker, index, registry, tmp_path):
    """A digest that is not there, another system, a hostile layer, another Python and a damaged one: refused by name."""
    index.add("saying", "1.0", {"saying.py": SAYING}, scripts={"saying": "saying:main"})
    directory = project("")

    def refused(path, digest, python="/usr/bin/python3.11"):
        text = MANIFEST.format(system=SYSTEM, base=f"{registry.host}/{path}@{digest}")
        (directory / ".flox/env/manifest.toml").write_text(text.replace("/usr/bin/python3.11", python))
        assert esker("lock").status == 0
        done = esker("image", "build")
        assert done.status != 0
        return done.err

    missing = f"sha256:{'0' * 64}"
    assert f"does not have `{missing}` of `base`" in refused("base", missing)
    evil = Layer()
    evil.write("../../etc/cron.d/evil", "")
    for path, layer, architecture in (("other", Layer(), "riscv64"), ("evil", evil, "")):
        digest = write_layout(tmp_path / path, [layer.archive()], architecture=architecture)
        push_layout(tmp_path / path, registry.host, path)
        fault = {"other": "is for linux/riscv64, and not for", "evil": "`../../etc/cron.d/evil` leads out"}[path]
        assert fault in refused(path, digest)
    assert "the base has no `/usr/bin/python3.12`" in refused("base", base_image.digest(), "/usr/bin/python3.12")
    shutil.rmtree(tmp_path / "store-root/images")  # the base is fetched again
    layer = base_image.manifest()["layers"][1]["digest"]
    registry.alter(layer)
    assert f"the blob `{layer}` is corrupted" in refused("base", base_image.digest())
