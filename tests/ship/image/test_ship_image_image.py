"""Images are the same bytes whoever makes them, and a layer that is locked is not made again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zlib
from threading import Event

import msgspec
import pytest

from esker.errors import HostError, ImageError
from esker.formats.oci.config import parse
from esker.formats.oci.documents import LAYER, Descriptor, canonical, document
from esker.formats.oci.layer_names import APPLICATION
from esker.formats.oci.reference import Reference
from esker.ship.image import building
from esker.ship.image.codec import CODECS, codec
from esker.ship.image.comparison import contents, difference
from esker.ship.image.image import Base
from esker.ship.image.stored import StoredImage
from esker.ship.image.unit import File
from tests.support.images import AMD64, ARM64, builder, image, tree_unit, unit, units


@pytest.mark.parametrize("name", CODECS)
def test_two_builds_are_the_same_bytes(tmp_path, name):
    """Manifest, configuration and every layer are, with one thread or several and in any order of the units."""
    first, second = builder(tmp_path / "a", name, jobs=1), builder(tmp_path / "b", name, jobs=3)
    images = image(first), image(second, units()[::-1])
    assert images[0].manifest == images[1].manifest
    assert images[0].config == images[1].config
    first.provide([images[0]])
    second.provide([images[1]])
    names = sorted(os.listdir(tmp_path / "a/sha256"))
    assert names == sorted(os.listdir(tmp_path / "b/sha256"))
    for each in names:
        content = (tmp_path / "a/sha256" / each).read_bytes()
        assert hashlib.sha256(content).hexdigest() == each
        assert content == (tmp_path / "b/sha256" / each).read_bytes()


PROGRAM = """
import sys
from pathlib import Path
from tests.support.images import builder, image
made = builder(Path(sys.argv[1]), jobs=int(sys.argv[2]))
print(image(made).descriptor.digest)
"""


@pytest.mark.slow
def test_nothing_of_the_machine_enters_an_image(tmp_path):
    """Another HOME, umask, time zone, language, hash seed and number of threads make the same digest."""

    def digest(name, jobs, umask, **variables):
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), **variables}
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / name), jobs]
        done = subprocess.run(command, env=environ, umask=umask, capture_output=True, text=True, check=True)
        return done.stdout

    first = digest("a", "1", 0o022, HOME="/root", PYTHONHASHSEED="1", LANG="C.UTF-8")
    second = digest("b", "4", 0o077, HOME="/nowhere", TZ="Asia/Tokyo", PYTHONHASHSEED="2", SOURCE_DATE_EPOCH="5")
    assert first == second
    assert first.startswith("sha256:")


def test_the_digests_are_those_of_what_is_there(tmp_path):
    """A layer, unpacked by Python's own tools, has its diff_id, and holds what the units list."""
    made = builder(tmp_path)
    its = image(made)
    made.provide([its])
    members = {}
    for layer in its.layers:
        content = (tmp_path / layer.descriptor.digest.replace(":", "/")).read_bytes()
        plain = zlib.decompress(content, 31)
        assert f"sha256:{hashlib.sha256(plain).hexdigest()}" == layer.diff_id
        with tarfile.open(fileobj=io.BytesIO(plain)) as opened:
            members |= {member.name: member for member in opened}
    assert members["opt/esker/tool/bin/tool"].linkname == "opt/esker/tool/bin/again"
    assert members["opt/esker/bin/tool"].linkname == "../tool/bin/tool"
    assert members["opt/esker/tool/empty"].mode == 0o700
    assert (members["opt/esker/tool/empty"].uid, members["opt/esker/tool/empty"].gid) == (5, 6)
    assert members["tmp"].mode == 0o1777
    assert members["app/main.py"].uid == 1000
    assert members["opt/esker/wheel/ümlaut.py"].size == 6
    assert {member.mtime for member in members.values()} == {1}
    assert json.loads(its.config)["rootfs"]["diff_ids"] == [layer.diff_id for layer in its.layers]


def test_a_locked_layer_is_not_looked_at(tmp_path):
    """With the lock of an earlier build, nothing is listed or read, and the image is the same, with no blob at all."""
    first = builder(tmp_path / "a")
    before = image(first)
    again = units()
    second = builder(tmp_path / "b", locked=first.locked_layers())
    assert image(second, again).manifest == before.manifest
    assert [each.entries.times for each in again] == [0] * len(again)
    assert not (tmp_path / "b").exists()
    assert second.locked_layers() == first.locked_layers()


def test_one_changed_package_changes_one_layer(tmp_path):
    """All other layers keep their digests, and their packages are not listed."""
    first = builder(tmp_path / "a")
    before = image(first)
    changed = units("another", "2")
    second = builder(tmp_path / "a", locked=first.locked_layers())
    after = image(second, changed)
    different = [
        new.name for old, new in zip(before.layers, after.layers, strict=True) if old.descriptor != new.descriptor
    ]
    assert different == ["conda/tool"]
    assert {each.name for each in changed if each.entries.times} == {"conda/tool"}


def test_a_blob_that_is_missing_is_made_again(tmp_path):
    """Where only the lock is there, as on another machine, an output makes what it needs, and nothing more."""
    first = builder(tmp_path / "a")
    image(first)
    again = units()
    second = builder(tmp_path / "b", locked=first.locked_layers())
    its = image(second, again)
    wanted = its.layers[0].descriptor
    second.provide([its], [wanted.digest])
    assert second.blobs.has(wanted)
    assert sum(each.entries.times for each in again) == 1
    second.provide([its])
    assert all(second.blobs.has(layer.descriptor) for layer in its.layers)
    assert {each.entries.times for each in again} == {1}


def test_a_layer_that_comes_out_otherwise_is_an_error(tmp_path):
    """If files are not what their package's hash says, the image would not be the one that is locked."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package/file").write_text("one")
    package = tree_unit("package", tmp_path / "package", "/opt/package")
    first = builder(tmp_path / "a")
    image(first, [package])
    (tmp_path / "package/file").write_text("two")
    second = builder(tmp_path / "b", locked=first.locked_layers())
    its = image(second, [package])
    with pytest.raises(
        ImageError, match=r"the layer `small packages` has come out as sha256:.* and is locked as"
    ) as caught:
        second.provide([its])
    assert 'if that is meant, write `"layers": []` into .flox/image.lock' in caught.value.hint


def test_two_layers_that_are_locked_as_one_blob_are_an_error(tmp_path):
    """A lock that gives a layer the blob of another one, whole as it is, would leave out the layer's own files."""
    first = builder(tmp_path)
    image(first)
    locked = [*first.locked_layers()]
    wrong, right = locked[-1], locked[0]
    locked[-1] = msgspec.structs.replace(wrong, digest=right.digest, size=right.size, diff_id=right.diff_id)
    with pytest.raises(ImageError, match="the layers `base` and `application` are locked as the same blob") as caught:
        image(builder(tmp_path, locked=locked))
    assert 'write `"layers": []` into .flox/image.lock' in caught.value.hint


def test_two_layers_without_files_may_be_one_blob(tmp_path):
    """Such as two that are declared for packages which only name others."""
    made = builder(tmp_path)
    its = image(made, [unit("nothing", category="base"), unit("other"), unit("app", category=APPLICATION)])
    assert len({layer.descriptor.digest for layer in its.layers}) == 1


@pytest.mark.parametrize("lie", [{"size": 5}, {"diff_id": f"sha256:{'0' * 64}"}])
def test_a_layer_that_is_locked_with_another_size(tmp_path, lie):
    """Once its bytes are needed, the lock is said to be wrong, and not its files."""
    first = builder(tmp_path / "a")
    image(first)
    locked = [msgspec.structs.replace(first.locked_layers()[0], **lie), *first.locked_layers()[1:]]
    second = builder(tmp_path / "b", locked=locked)
    its = image(second)
    with pytest.raises(ImageError, match=r"the layer `base` is sha256:.* but its size or its `diff-id`") as caught:
        second.provide([its])
    assert 'write `"layers": []` into .flox/image.lock' in caught.value.hint


def test_a_lock_keeps_the_layers_of_other_platforms(tmp_path):
    """Making the image of one platform does not forget what is known of another."""
    both = builder(tmp_path)
    image(both, platform=AMD64)
    image(both, platform=ARM64)
    one = builder(tmp_path, locked=both.locked_layers())
    image(one, units("new"), platform=ARM64)
    locked = one.locked_layers()
    assert [each for each in locked if each.platform == "linux/amd64"] == [
        each for each in both.locked_layers() if each.platform == "linux/amd64"
    ]
    assert {each.platform for each in locked} == {"linux/amd64", "linux/arm64"}


def test_another_codec_makes_other_layers_of_the_same_files(tmp_path):
    """A lock of gzip is no lock of zstd; the archives in both are the same."""
    gzip = builder(tmp_path)
    before = image(gzip)
    zstd = builder(tmp_path, "zstd", locked=gzip.locked_layers())
    after = image(zstd)
    assert [layer.diff_id for layer in before.layers] == [layer.diff_id for layer in after.layers]
    assert {layer.descriptor.media_type for layer in after.layers} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    assert not {layer.descriptor.digest for layer in before.layers} & {
        layer.descriptor.digest for layer in after.layers
    }


def test_nobody_else_sees_the_blobs(tmp_path):
    """They hold what a project's directory may keep from other users, and bases that need a login."""
    old = os.umask(0)
    try:
        image(builder(tmp_path / "blobs"))
    finally:
        os.umask(old)
    assert (tmp_path / "blobs/sha256").stat().st_mode & 0o777 == 0o700


def test_a_failure_leaves_no_blob_behind(tmp_path):
    """What was begun is removed, and the error names the file."""
    made = builder(tmp_path / "blobs")
    with pytest.raises(ImageError, match=f"cannot read `{tmp_path}/missing`"):
        image(made, [unit("a", File("/opt/x", str(tmp_path / "missing"))), *units()])
    assert [name for name in os.listdir(tmp_path / "blobs/sha256") if name.startswith(".")] == []


def test_the_manifest_names_the_configuration_and_the_layers(tmp_path):
    """In the order of the image."""
    its = image(builder(tmp_path))
    content = document(its.manifest, "it")
    assert content.config == its.config_descriptor
    assert content.layers == tuple(layer.descriptor for layer in its.layers)


@pytest.mark.parametrize(("name", "module"), [("gzip", "zlib_ng"), ("zstd", "backports")])
def test_a_codec_that_is_not_installed_is_asked_for_by_its_extra(monkeypatch, name, module):
    """It is not replaced by another one, which would make other digests."""
    if name == "zstd" and sys.version_info >= (3, 14):
        pytest.skip("zstd is in the standard library")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(HostError, match=f"layers cannot be compressed by {name}") as caught:
        codec(name)
    assert f"{sys.executable} -m pip install 'esker[image]'" in caught.value.hint


def test_an_unknown_codec_is_refused():
    """The hint has the names of those that are known."""
    with pytest.raises(ImageError, match="cannot be compressed by `brotli`") as caught:
        codec("brotli")
    assert caught.value.hint == "the codecs are gzip, zstd, none"


def based(digit, layers):
    """Return a base of as many layers as are asked for, none of which anybody fetches."""
    diff_ids = [f"sha256:{number:063}{digit}" for number in range(layers)]
    content = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": diff_ids}, "config": {"User": "5"}}
    listed = tuple(Descriptor(media_type=f"{LAYER}+gzip", digest=each, size=1) for each in diff_ids)
    reference = Reference("registry.example", "base", digest=f"sha256:{digit * 64}")
    return Base(reference, parse(canonical(content), "it"), listed, lambda *_: None)


def test_an_image_says_what_it_begins_with(tmp_path):
    """In OCI's words, by which layers of the base have names, and by which two images are compared."""
    made = builder(tmp_path)
    stored = []
    for digit in "12":
        its = image(made, base=based(digit, 2))
        content = document(its.manifest, "it")
        assert content.annotations == {
            "org.opencontainers.image.base.name": "registry.example/base",
            "org.opencontainers.image.base.digest": f"sha256:{digit * 64}",
        }
        stored.append(StoredImage(its.descriptor, content, parse(its.config, "it")))
    assert [layer.name for layer in contents(stored[0])][:3] == ["base 1", "base 2", "base"]
    changes = difference(*stored)
    assert [change.name for change in changes.layers] == ["base 1", "base 2"]
    assert [(each.before, each.after) for each in changes.settings if each.name == "base"] == [
        (f"registry.example/base@sha256:{'1' * 64}", f"registry.example/base@sha256:{'2' * 64}")
    ]


def test_a_base_of_too_many_layers(tmp_path):
    """An image of 70 layers has no room above it; the error says so, and not that too many were declared."""
    with pytest.raises(ImageError, match="the base has 67 layers, and an image has at most 70"):
        image(builder(tmp_path), base=based("1", 67))


def test_an_interruption_ends_the_layers_that_are_being_made(tmp_path, monkeypatch):
    """Nobody waits for a large one, and nothing of it stays."""
    begun, whole = Event(), Event()

    def endless(entries):
        if entries[-1].path == "/opt/interrupted":
            assert begun.wait(60)
            raise KeyboardInterrupt
        for _ in range(1_000_000):
            begun.set()
            yield b"x"
        whole.set()

    monkeypatch.setattr(building, "archive", endless)
    large = unit("large", File("/opt/interrupted", b""), size=9 << 20)
    with pytest.raises(KeyboardInterrupt):
        image(builder(tmp_path, "none"), [large, unit("endless", File("/opt/endless", b""))])
    assert not whole.is_set()
    assert os.listdir(tmp_path / "sha256") == []
