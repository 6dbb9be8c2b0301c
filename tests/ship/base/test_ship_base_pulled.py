"""A project's base: pulled by its digest from a registry or a layout, read once, and refused by name where it is wrong."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import struct
import tarfile

import pytest

from esker.errors import CorruptedBlob, ImageError, Malformed, NotFound, RegistryError
from esker.formats.elf import MACHINES
from esker.formats.oci.platform import Platform
from esker.progress import Silent
from esker.ship.base.pulled import pulled_base
from esker.ship.image.blobs import Blobs
from tests.support.base_layout import push_layout, write_index, write_layout
from tests.support.containers.layers import Layer
from tests.support.fake_registry import FakeRegistry

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
PYTHON = "/usr/bin/python3.11"


def elf(text, machine="x86_64"):
    """Return a program of nothing but a header, and a text."""
    fields = (3, MACHINES[machine], 1, 0, 0, 0, 0, 64, 56, 0, 0, 0, 0)
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields) + b"\0" + text + b"\0"


def debian(*, python=b"3.11.2", library=True, program="usr/bin/python3.11"):
    """Return a layer like Debian's, with `/bin` and `/lib` as links."""
    layer = Layer()
    for name in ("bin", "lib", "lib64"):
        layer.link(name, f"usr/{name}")
    layer.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    layer.write("usr/bin/sh", elf(b""), mode=0o755)
    if library:
        layer.write("usr/lib/x86_64-linux-gnu/libc.so.6", elf(b"GNU C Library (X 2.36-9) stable release version 2.36."))
        layer.write("usr/lib/x86_64-linux-gnu/ld.so", elf(b""))
        layer.link("usr/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld.so")
    if python:
        layer.write(program, elf(b"3.40.1\0" + python), mode=0o755)
        layer.write("usr/lib/python3.11/os.py", "")
    return layer


@pytest.fixture
def pulled(tmp_path):
    """Give a function that pulls a base with fresh or the same blobs."""

    def pull(name, python=None, platform=AMD64, **variables):
        blobs = Blobs(str(tmp_path / "images/blobs"))
        return pulled_base(name, python, str(tmp_path), platform, blobs, {"HOME": str(tmp_path), **variables}, Silent())

    return pull


def layout(tmp_path, *layers, **fields):
    """Write a layout of layers, or of archives as they are, and return its name with its digest."""
    fields.setdefault("architecture", "amd64")
    (tmp_path / "base/index.json").unlink(missing_ok=True)
    archives = [layer.archive() if isinstance(layer, Layer) else layer for layer in layers]
    return f"./base@{write_layout(tmp_path / 'base', archives, **fields)}"


def test_a_base_is_read(tmp_path, pulled):
    """Its C library, its Python and its accounts are known by its files alone; Docker's kinds of layers become OCI's."""
    upper = Layer()
    upper.write("etc/.wh.passwd", "")
    upper.write("etc/group", "root:x:0:\n")
    base = pulled(layout(tmp_path, debian(), upper), PYTHON)
    facts = base.facts
    assert (facts.library.name, facts.library.version, facts.python) == ("glibc", (2, 36), "3.11.2")
    assert (facts.passwd, facts.group) == (None, b"root:x:0:\n")
    assert facts.files == {"/bin/sh"}
    assert [layer.media_type for layer in base.image.layers] == ["application/vnd.oci.image.layer.v1.tar+gzip"] * 2
    assert base.env["LANG"] == "C.UTF-8"


def test_an_archive_of_a_layout_is_a_base(tmp_path, pulled):
    """A file beside the project, as `docker save` writes it."""
    name = layout(tmp_path, debian())
    with tarfile.open(tmp_path / "base.tar", "w") as archive:
        archive.add(tmp_path / "base", ".")
    assert pulled(name.replace("./base@", "./base.tar@")).facts.library.version == (2, 36)
    with pytest.raises(ImageError, match="does not have `sha256:0"):
        pulled(f"./base@sha256:{'0' * 64}")
    with pytest.raises(NotFound, match=r"there is no `\./other`"):
        pulled(name.replace("./base@", "./other@"))


def test_a_registry_is_asked_once(tmp_path, pulled):
    """With the login that `docker login` has kept; afterwards the base is on this machine."""
    digest = layout(tmp_path, debian()).partition("@")[2]
    with FakeRegistry() as server:
        push_layout(tmp_path / "base", server.host, "team/base")
        server.login, server.token = "me:secret", True
        name = f"{server.host}/team/base@{digest}"
        with pytest.raises(RegistryError, match="wants a login"):
            pulled(name)
        auth = {"auth": base64.b64encode(b"me:secret").decode()}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: auth}}))
        first = pulled(name, DOCKER_CONFIG=str(tmp_path))
        server.log.clear()
        again = pulled(name, DOCKER_CONFIG=str(tmp_path))
        assert server.log == []
        for kept in (first.image.reference.digest, server_config(server, digest)):
            path = tmp_path / "images/blobs" / kept.replace(":", "/")
            path.write_bytes(path.read_bytes()[:-1] + b"x")
        assert pulled(name, DOCKER_CONFIG=str(tmp_path)).facts == first.facts
        assert [request.split("/")[-2] for request in server.log if "/token" not in request][-2:] == [
            "manifests",
            "blobs",
        ]
        server.log.clear()
        pulled(name)
        assert server.log == [], "what was damaged has been replaced"
    assert (again.facts, again.image.layers) == (first.facts, first.image.layers)
    (kept,) = (tmp_path / "images/bases").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_text("{")
    assert pulled(name).facts == first.facts, "what is damaged here is read again, from the blobs"


def server_config(server, digest):
    """Return the digest of the configuration of an image."""
    return json.loads(server.manifests["team/base", digest][1])["config"]["digest"]


def test_the_platform_is_chosen_from_an_index(tmp_path, pulled):
    """Each system gets its own manifest; one that is not there is named with those that are."""
    digests = [
        write_layout(tmp_path / "base", [debian().archive()], architecture="amd64"),
        write_layout(tmp_path / "base", [Layer().archive()], architecture="arm64"),
    ]
    name = f"./base@{write_index(tmp_path / 'base', digests)}"
    assert pulled(name).image.reference.digest == digests[0]
    assert pulled(name, platform=ARM64).image.reference.digest == digests[1]
    with pytest.raises(ImageError, match="is not there for linux/riscv64") as caught:
        pulled(name, platform=Platform("linux", "riscv64"))
    assert caught.value.hint == "it is there for linux/amd64, linux/arm64"
    with pytest.raises(ImageError, match="is for linux/amd64, and not for linux/arm64"):
        pulled(f"./base@{digests[0]}", platform=ARM64)


def test_a_corrupted_layer_is_refused_by_name(tmp_path, pulled):
    """Where it comes from, and on this machine once it has been damaged here."""
    name = layout(tmp_path, debian())
    base = pulled(name).image
    path = f"{tmp_path}/base/blobs/{base.layers[0].digest.replace(':', '/')}"
    here = f"{tmp_path}/images/blobs/{base.layers[0].digest.replace(':', '/')}"
    with open(path, "rb") as file:
        data = file.read()
    for target in (here, path):
        with open(target, "wb") as file:
            file.write(data[:-9] + b"x" + data[-8:])
        with pytest.raises(CorruptedBlob, match=f"the blob `{base.layers[0].digest}` is corrupted"):
            pulled(name, PYTHON)
        if os.path.exists(here):
            os.unlink(here)  # so that the base is fetched again


def hostile(name, kind=tarfile.REGTYPE, target=""):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("archive", "fault"),
    [
        (hostile("../../etc/cron.d/evil"), "`../../etc/cron.d/evil` leads out of the image"),
        (hostile("x", tarfile.LNKTYPE, "../../etc/shadow"), "`x` leads out of the image"),
        (b"no archive at all" * 100, "a header's sum is no number"),
    ],
    ids=["path", "link", "no-archive"],
)
def test_a_hostile_layer_is_refused_by_name(tmp_path, pulled, archive, fault):
    """The error names the layer and what is in it; nothing is written anywhere."""
    name = layout(tmp_path, debian(), archive)
    with pytest.raises(Malformed) as caught:
        pulled(name)
    assert fault in caught.value.message
    digest = f"sha256:{hashlib.sha256(archive).hexdigest()}"
    assert digest not in caught.value.message, "the layer is named by its blob, as registries know it"
    assert "the layer `sha256:" in caught.value.message
    assert not (tmp_path / "images/bases").exists()


def test_a_small_layer_that_unpacks_to_much_is_refused(tmp_path, pulled, monkeypatch):
    """Reading ends at a limit, and nothing of what was unpacked is kept."""
    monkeypatch.setattr("esker.ship.base.reading._LARGEST_LAYER", 1 << 30)
    bomb = Layer()
    bomb.write("bomb", bytes(4 << 20))
    assert pulled(layout(tmp_path, bomb)).facts.files == frozenset()
    monkeypatch.setattr("esker.ship.base.reading._LARGEST_LAYER", 1 << 20)
    bomb.write("bomb", bytes(5 << 20))
    with pytest.raises(ImageError, match=r"the layer `sha256:.*` unpacks to more than 0 GiB"):
        pulled(layout(tmp_path, bomb))


def test_a_file_beside_the_root_is_not_read(tmp_path, pulled):
    """A link of the base that leads up ends in the base's root, and not on this machine."""
    layer = debian()
    layer.remove("etc/passwd")
    layer.link("etc/passwd", "../../../../../../etc/passwd")
    with pytest.raises(Malformed, match=r"the base `base@sha256:.*more than 40 links"):
        pulled(layout(tmp_path, layer))
    layer.remove("etc/passwd")
    layer.link("etc/passwd", "../../../../../../etc/hostname")
    assert pulled(layout(tmp_path, layer)).facts.passwd is None


@pytest.mark.parametrize(
    ("layer", "stated", "fault"),
    [
        (debian(), "/usr/bin/python3.12", "the base has no `/usr/bin/python3.12`"),
        (debian(), "/etc/passwd", "`/etc/passwd` of the base is no program"),
        (debian(python=b"3.10.1"), PYTHON, "is not to be learned from its files"),
        (debian(program="usr/bin/python"), "/usr/bin/python", None),
        (debian(program="opt/bin/python3.11"), "/opt/bin/python3.11", "Python 3.11 without its standard library"),
        (debian(program="opt/bin/python"), "/opt/bin/python", "0 standard libraries lie beside it"),
    ],
    ids=["missing", "no-program", "version", "without-a-number", "no-library", "unknown"],
)
def test_the_python_of_a_base(tmp_path, pulled, layer, stated, fault):
    """It is a program with its standard library, whose version its files say; else the error says what is wrong."""
    name = layout(tmp_path, layer)
    if fault is None:
        assert pulled(name, stated).facts.python == "3.11.2"
        return
    with pytest.raises(ImageError, match=fault) as caught:
        pulled(name, stated)
    assert "esker install conda/python" in caught.value.hint
    assert "uv's" in caught.value.hint


def test_a_python_of_another_machine_or_a_script_is_none(tmp_path, pulled):
    """The headers of the program are read; a launcher in a script is not followed."""
    other = debian(library=False)
    other.write("usr/bin/python3.11", elf(b"3.11.2", "aarch64"), mode=0o755)
    with pytest.raises(ImageError, match="is not for x86_64-linux"):
        pulled(layout(tmp_path, other), PYTHON)
    other.write("usr/bin/python3.11", "#!/bin/sh\n", mode=0o755)
    with pytest.raises(ImageError, match="is no program of its own"):
        pulled(layout(tmp_path, other), PYTHON)


def test_a_shared_python_and_its_header(tmp_path, pulled):
    """The version is found in the library that a small program loads, or in `patchlevel.h`."""
    layer = debian(python=b"none")
    layer.write("usr/lib/libpython3.11.so.1.0", elf(b"3.11.9"))
    assert pulled(layout(tmp_path, layer), PYTHON).facts.python == "3.11.9"
    layer.remove("usr/lib/libpython3.11.so.1.0")
    layer.write("usr/include/python3.11/patchlevel.h", '#define PY_VERSION              "3.11.4"\n')
    assert pulled(layout(tmp_path, layer), PYTHON).facts.python == "3.11.4"


def test_musl_is_known(tmp_path, pulled):
    """A base without glibc says what it has instead."""
    layer = debian(library=False)
    layer.write("usr/lib/ld-musl-x86_64.so.1", elf(b""))
    library = pulled(layout(tmp_path, layer)).facts.library
    assert (library.name, library.path) == ("musl", "/usr/lib/ld-musl-x86_64.so.1")


def test_a_base_that_esker_has_made_is_refused(tmp_path, pulled):
    """Its packages would mix with ours; neither may `/opt` be a link."""
    layer = debian()
    layer.write("opt/esker/env/x", "")
    with pytest.raises(ImageError, match="has something at `/opt/esker`"):
        pulled(layout(tmp_path, layer))
    layer = debian()
    layer.link("opt", "var/opt")
    with pytest.raises(ImageError, match="has something at `/opt/esker`"):
        pulled(layout(tmp_path, layer))


@pytest.mark.parametrize("kind", ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "application/x-other"])
def test_other_kinds_of_layers_are_refused(tmp_path, pulled, kind):
    """An image cannot hold them, so the error names kind and layer."""
    name = layout(tmp_path, debian(), layer_kind=kind)
    with pytest.raises(Malformed, match=f"is of the kind `{kind}`"):
        pulled(name)
