"""Real tools and a real registry agree with Esker on every digest, and real engines run what it has written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from esker.formats.oci.configuration import Configuration, HealthCheck
from esker.formats.oci.documents import describe
from esker.formats.oci.layer_names import APPLICATION
from esker.formats.oci.reference import Reference, parse
from esker.ship.image.blobs import Blobs
from esker.ship.image.layout import write_archive, write_layout
from esker.ship.image.registry.client import Registry
from esker.ship.image.registry.credentials import Credentials
from esker.ship.image.registry.pull import pull_base
from esker.ship.image.registry.push import push
from esker.ship.image.registry.repository import Repository
from esker.ship.image.stored import LayoutSource, RegistrySource, stored_images
from esker.ship.image.unit import File
from esker.ship.image.verification import verify
from tests.support.image_tools import ROOT, RegistryServer, skopeo, umoci
from tests.support.images import AMD64, ARM64, builder, image, tree_unit, unit, units

pytestmark = [pytest.mark.live("images"), pytest.mark.slow]

NOBODY = Credentials("/nonexistent/config.json", {})
MACHINE = {"x86_64": AMD64, "aarch64": ARM64}[os.uname().machine]
_PATIENCE = 30
"""Seconds."""


@pytest.fixture
def registry(tmp_path):
    """Give Debian's registry."""
    with RegistryServer(tmp_path / "registry") as server:
        yield server


@pytest.fixture
def client(registry):
    """Give what asks that registry."""
    with Registry(registry.host, NOBODY) as asking:
        yield asking


def test_every_tool_agrees_on_the_digests(tmp_path, registry, client):
    """Skopeo finds one image in a layout, in both kinds of archives and in the registry; umoci unpacks what was listed."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    name = parse(f"{registry.host}/team/app:1.0")
    write_layout(str(tmp_path / "layout"), [its], name, made)
    with open(tmp_path / "image.tar", "wb") as file:
        write_archive(file, [its], name, made)
    push(name, [its], made, client)
    layers = [layer.descriptor.digest for layer in its.layers]
    for place in (f"oci:{tmp_path}/layout:1.0", f"oci-archive:{tmp_path}/image.tar:{name}", f"docker://{name}"):
        seen = json.loads(skopeo("inspect", *insecure(place), place))
        assert (seen["Digest"], seen["Layers"]) == (its.descriptor.digest, layers)
        assert (seen["Architecture"], seen["Os"]) == ("amd64", "linux")
        assert skopeo("inspect", "--config", "--raw", *insecure(place), place).encode() == its.config
    config = json.loads(skopeo("inspect", "--config", "--raw", f"docker-archive:{tmp_path}/image.tar:{name}"))
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in its.layers]

    umoci("unpack", "--image", f"{tmp_path}/layout:1.0", str(tmp_path / "bundle"))
    root = tmp_path / "bundle/rootfs/opt/esker"
    assert (root / "tool/bin/tool").samefile(root / "tool/bin/again")
    assert (root / "bin/tool").readlink() == Path("../tool/bin/tool")
    assert ((root / "tool/bin/tool").stat().st_mode & 0o7777, (root / "tool/empty").stat().st_uid) == (0o755, 5)
    assert (tmp_path / "bundle/rootfs/tmp").stat().st_mode & 0o7777 == 0o1777
    assert (root / "wheel/ümlaut.py").read_text() == "x = 1\n"
    assert {each.stat().st_mtime for each in root.rglob("*") if each.is_file()} == {1}


def insecure(place):
    return ["--tls-verify=false"] if place.startswith("docker:") else []


def test_what_skopeo_copies_is_verified(tmp_path, registry, client):
    """From the registry into a layout, and from our layout into the registry: every digest holds."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    push(parse(f"{registry.host}/app:1"), [its], made, client)
    skopeo("copy", "--src-tls-verify=false", f"docker://{registry.host}/app:1", f"oci:{tmp_path}/copied:1")
    checked = verify(LayoutSource(str(tmp_path / "copied"), "1"))
    assert (checked.faults, checked.images[0].descriptor.digest) == ((), its.descriptor.digest)
    write_layout(str(tmp_path / "layout"), [its], parse("app:1"), made)
    skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:1", f"docker://{registry.host}/other:1")
    source = RegistrySource(Repository(client, "other"), "1")
    assert stored_images(source)[0].descriptor.digest == its.descriptor.digest
    assert not push(parse(f"{registry.host}/other:1"), [its], made, client).changed


def test_two_platforms_are_accepted_by_every_tool(tmp_path, registry, client):
    """Skopeo takes either from the index, umoci unpacks each, and `verify` finds no fault."""
    made = builder(tmp_path / "blobs")
    images = [image(made, units(str(platform)), platform) for platform in (AMD64, ARM64)]
    name = parse(f"{registry.host}/app:1")
    pushed = push(name, images, made, client)
    write_layout(str(tmp_path / "layout"), images, name, made)
    for its in images:
        architecture = its.platform.architecture
        for place in (f"docker://{name}", f"oci:{tmp_path}/layout:1"):
            seen = json.loads(skopeo("--override-arch", architecture, "inspect", *insecure(place), place))
            assert seen["Architecture"] == architecture
            assert seen["Layers"] == [layer.descriptor.digest for layer in its.layers]
        umoci("unpack", "--image", f"{tmp_path}/layout:1-linux-{architecture}", str(tmp_path / architecture))
        text = (tmp_path / architecture / "rootfs/opt/esker/tool/bin/tool").read_text()
        assert f"echo linux/{architecture}\n" in text
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    assert describe(raw.encode(), "").digest == pushed.digest
    for source in (RegistrySource(Repository(client, "app"), "1"), LayoutSource(str(tmp_path / "layout"), "1")):
        checked = verify(source)
        assert (checked.faults, len(checked.images)) == ((), 2)


PROGRAM = """
import os, sys, time
from pathlib import Path
from esker.formats.oci.reference import parse
from esker.ship.image.layout import write_archive, write_layout
from tests.support.images import builder, image, tree_unit, units
made = builder(Path(sys.argv[1]) / "blobs", jobs=int(sys.argv[2]))
its = image(made, [*units(), tree_unit("tree", Path(sys.argv[3]), "/opt/tree")])
with open(f"{sys.argv[1]}/image.tar", "wb") as file:
    write_archive(file, [its], parse("app:1"), made)
print(time.localtime().tm_year, os.getuid(), file=sys.stderr)
"""


def test_two_builds_are_bit_identical(tmp_path):
    """Although their date, HOME, user, umask, language and number of jobs differ; the dates are really others."""
    tree = tmp_path / "tree"
    (tree / "lib").mkdir(parents=True)
    for number in range(50):
        (tree / f"lib/{number}.txt").write_text(f"{number}\n" * number)

    def built(name, jobs, umask, *prefix, **variables):
        (tmp_path / name).mkdir()
        command = [*prefix, sys.executable, "-c", PROGRAM, tmp_path / name, jobs, tree]
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{os.getcwd()}/src:{os.getcwd()}", **variables}
        done = subprocess.run(command, env=environ, umask=umask, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return (tmp_path / name / "image.tar").read_bytes(), done.stderr.strip()

    as_other = ["unshare", "--user", "--map-user=1234", "--map-group=1234"]
    (library,) = (ROOT.path() / "usr/lib").glob("*-linux-gnu/faketime/libfaketimeMT.so.1")
    faked = ["env", f"LD_PRELOAD={library}", "FAKETIME=@2031-05-06 07:08:09"]
    first, _ = built("a", "1", 0o022, HOME="/root", LANG="C.UTF-8", PYTHONHASHSEED="1")
    second, other = built("b", "2", 0o077, *as_other, *faked, HOME="/nowhere", TZ="Asia/Tokyo", PYTHONHASHSEED="2")
    assert other == "2031 1234"
    assert first == second


class Cutting:
    """A relay to a registry that ends its first connection after so many bytes from the client."""

    def __init__(self, host, size):
        self._target = ("127.0.0.1", int(host.rpartition(":")[2]))
        self._left = size
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._sockets = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self):
        """Let no more connections through."""
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._listening, *self._sockets):
            each.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            for source, target, is_cut in ((client, server, True), (server, client, False)):
                self._threads.append(threading.Thread(target=self._relay, args=(source, target, is_cut)))
                self._threads[-1].start()

    def _relay(self, source, target, is_cut):
        try:
            while data := source.recv(1 << 16):
                if is_cut and self._left is not None:
                    if len(data) >= self._left:
                        target.sendall(data[: self._left])
                        self._left = None
                        break
                    self._left -= len(data)
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def test_an_upload_survives_its_connection(tmp_path, registry):
    """Debian's registry is asked how much it has; it forgets an upload whose request broke, and gets the blob again."""
    data = os.urandom(12 << 20)
    blobs = Blobs(str(tmp_path / "blobs"))
    blobs.add(data)
    blob = describe(data, "application/octet-stream")
    relay = Cutting(registry.host, 5 << 20)
    try:
        with Registry(relay.host, NOBODY, pause=lambda _: time.sleep(0.2)) as client:
            repository = Repository(client, "app", push=True)
            repository.upload(blob, blobs)
            assert repository.has_blob(blob)
            assert repository.small_blob(blob) == data
    finally:
        relay.close()
    methods = [request.split()[0] for request in registry.requests() if "/uploads/" in request]
    assert methods == ["POST", "PATCH", "GET", "POST", "PATCH", "PUT"]


def test_docker_builds_on_runs_and_pulls(tmp_path, registry, client, docker_engine):
    """An image of Docker's own is the base of ours, which is loaded and pulled, runs and goes healthy."""
    docker = docker_engine.docker
    docker("tag", "busybox:latest", f"{registry.host}/base:1")
    docker("push", f"{registry.host}/base:1")
    digest = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{registry.host}/base:1"))["Digest"]
    base = pull_base(Reference(registry.host, "base", digest=digest), MACHINE, client)
    made = builder(tmp_path / "blobs")
    check = HealthCheck(("CMD", "cat", "/app/hello"), interval=0.2)
    configuration = Configuration(env={"WORD": "hello"}, cmd=("sleep", "60"), health_check=check, user="1000:1000")
    app = unit("app", File("/app/hello", b"hello\n", 0o600, 1000, 1000), category=APPLICATION)
    script = unit("tool", File("/usr/local/bin/say", b"#!/bin/sh\necho $WORD\n", 0o755))
    its = image(made, [app, script], MACHINE, base=base, configuration=configuration)
    name = f"{registry.host}/team/app:1.0"
    pushed = push(parse(name), [its], made, client)
    assert len(pushed.mounted) == len(base.layers)

    with open(tmp_path / "image.tar", "wb") as file:
        write_archive(file, [its], parse("loaded:1.0"), made)
    docker("load", "--input", str(tmp_path / "image.tar"))
    docker("pull", name)
    ids = {docker("image", "inspect", "--format", "{{.Id}}", each).strip() for each in ("loaded:1.0", name)}
    assert ids == {its.config_descriptor.digest}
    assert f"@{its.descriptor.digest}" in docker("image", "inspect", "--format", "{{.RepoDigests}}", name)
    assert docker_engine.said("loaded:1.0", "say") == "hello\n"
    assert docker_engine.said("loaded:1.0", "stat", "-c", "%a %u %Y", "/app/hello") == "600 1000 1\n"
    container = docker("run", "--detach", "--init", name).strip()
    deadline = time.monotonic() + _PATIENCE
    while (state := docker("inspect", "--format", "{{.State.Health.Status}}", container).strip()) != "healthy":
        assert time.monotonic() < deadline, (state, docker("inspect", container))
        time.sleep(0.1)


def test_podman_loads_and_runs(tmp_path):
    """The same archive, by gzip and by zstd; what it has loaded has our digest."""
    from tests.support.containers.podman import PodmanEngine

    with PodmanEngine() as engine:
        busybox = tmp_path / "busybox"
        busybox.mkdir()
        (busybox / "sh").write_bytes(busybox_program(engine))
        (busybox / "sh").chmod(0o755)
        for codec in ("gzip", "zstd"):
            made = builder(tmp_path / "blobs", codec)
            configuration = Configuration(cmd=("/bin/sh", "-c", "echo hello $0", codec))
            its = image(made, [tree_unit("busybox", busybox, "/bin")], MACHINE, configuration=configuration)
            with open(tmp_path / f"{codec}.tar", "wb") as file:
                write_archive(file, [its], parse(f"registry.example/{codec}:1.0"), made)
            loaded = engine.podman("load", "--input", str(tmp_path / f"{codec}.tar"))
            assert loaded.returncode == 0, loaded.stderr
            ran = engine.said("--network=none", f"registry.example/{codec}:1.0")
            assert ran == f"hello {codec}\n"
            shown = engine.podman("image", "inspect", "--format", "{{.Id}}", f"registry.example/{codec}:1.0").stdout
            assert shown.strip() == its.config_descriptor.digest.partition(":")[2]


def busybox_program(engine):
    """Return a shell that needs no library, from an image of the engine."""
    container = engine.docker("create", "busybox:latest").strip()
    command = ["docker", "cp", f"{container}:/usr/bin/busybox", "-"]
    done = subprocess.run(command, env=os.environ | engine.variables, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return archive.extractfile(archive.next()).read()
