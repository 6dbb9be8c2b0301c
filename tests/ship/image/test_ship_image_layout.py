"""Layouts and archives: what is written is read again and verified, and what is altered is refused by name."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from esker.errors import AlreadyExists, CorruptedBlob, EskerError, ImageError, Malformed, NotFound
from esker.formats.oci import tar
from esker.formats.oci.configuration import Configuration
from esker.formats.oci.documents import CONFIG, INDEX, LAYER, MANIFEST, describe, index, manifest
from esker.formats.oci.reference import parse
from esker.host import files
from esker.ship.image.comparison import contents, difference
from esker.ship.image.layout import write_archive, write_layout
from esker.ship.image.stored import ArchiveSource, LayoutSource, stored_images
from esker.ship.image.unit import File
from esker.ship.image.verification import verify
from tests.support.images import AMD64, ARM64, builder, image, unit, units

NAME = parse("registry.example/app:1.0")


def layout(tmp_path, images, made, reference=NAME):
    write_layout(str(tmp_path / "layout"), images, reference, made)
    return LayoutSource(str(tmp_path / "layout"))


def archive(images, made, reference=NAME):
    output = io.BytesIO()
    write_archive(output, images, reference, made)
    return output.getvalue()


@pytest.mark.parametrize("codec", ["gzip", "zstd", "none"])
def test_a_layout_is_read_again_and_verified(tmp_path, codec):
    """Every digest holds, before and after compression."""
    made = builder(tmp_path / "blobs", codec)
    its = image(made)
    checked = verify(layout(tmp_path, [its], made))
    assert checked.faults == ()
    assert checked.blobs == len(its.layers)
    (stored,) = checked.images
    assert stored.descriptor.digest == its.descriptor.digest
    assert [each.digest for each in stored.manifest.layers] == [layer.descriptor.digest for layer in its.layers]


def test_an_unchanged_layout_is_not_written(tmp_path, monkeypatch):
    """No file gets another time or is opened for writing, and the caller learns that nothing has changed."""
    made = builder(tmp_path / "blobs")
    target = str(tmp_path / "layout")
    assert write_layout(target, [image(made)], NAME, made)
    before = {each: each.stat().st_mtime_ns for each in (tmp_path / "layout").rglob("*")}
    monkeypatch.setattr(files, "locked", None)
    assert not write_layout(target, [image(made)], NAME, made)
    assert {each: each.stat().st_mtime_ns for each in (tmp_path / "layout").rglob("*")} == before


def test_a_layout_keeps_its_other_tags(tmp_path):
    """The same tag gets the new image, another tag stays."""
    made = builder(tmp_path / "blobs")
    first, second = image(made), image(made, units("new"))
    for its, tag in ((first, "1"), (first, "2"), (second, "2")):
        layout(tmp_path, [its], made, parse(f"app:{tag}"))
    for its, tag in ((first, "1"), (second, "2")):
        (stored,) = stored_images(LayoutSource(str(tmp_path / "layout"), tag))
        assert stored.descriptor.digest == its.descriptor.digest
    with pytest.raises(NotFound, match=r"there is no image `.*layout:3`") as caught:
        stored_images(LayoutSource(str(tmp_path / "layout"), "3"))
    assert caught.value.hint == "the tags are 1, 2"


def test_two_tags_that_are_written_at_the_same_time(tmp_path, monkeypatch):
    """The layout has both, although each began before the other was there."""
    made = builder(tmp_path / "blobs")
    first, second = image(made), image(made, units("new"))
    link = os.link

    def slow(*paths):
        monkeypatch.setattr(os, "link", link)
        layout(tmp_path, [second], made, parse("app:2"))
        link(*paths)

    monkeypatch.setattr(os, "link", slow)
    layout(tmp_path, [first], made, parse("app:1"))
    for its, tag in ((first, "1"), (second, "2")):
        (stored,) = stored_images(LayoutSource(str(tmp_path / "layout"), tag))
        assert stored.descriptor.digest == its.descriptor.digest


def test_a_layout_that_was_left_half_written(tmp_path, monkeypatch):
    """A full disk leaves no half file; once there is room, the same call writes the whole."""
    made = builder(tmp_path / "blobs")
    its = image(made)

    def no_link(*_):
        raise OSError(errno.EXDEV, "another file system")

    def full(_, target):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", no_link)
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(ImageError, match="cannot write"):
            layout(tmp_path, [its], made)
        assert not list((tmp_path / "layout").rglob("*.tmp"))
    assert verify(layout(tmp_path, [its], made)).faults == ()


def test_a_directory_with_something_else_is_left_alone(tmp_path):
    """Nothing is written into a home directory."""
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout/mine").write_text("x")
    made = builder(tmp_path / "blobs")
    with pytest.raises(AlreadyExists, match="holds something that is no OCI layout"):
        layout(tmp_path, [image(made)], made)
    assert os.listdir(tmp_path / "layout") == ["mine"]


def test_an_index_of_two_platforms_in_a_layout(tmp_path):
    """The tag leads to both images, and a tag with the platform to each."""
    made = builder(tmp_path / "blobs")
    images = [image(made, platform=ARM64), image(made, platform=AMD64)]
    checked = verify(layout(tmp_path, images, made))
    assert checked.faults == ()
    assert [each.config.platform for each in checked.images] == [AMD64, ARM64]
    (arm,) = stored_images(LayoutSource(str(tmp_path / "layout"), "1.0-linux-arm64"))
    assert arm.config.platform == ARM64
    both = stored_images(LayoutSource(str(tmp_path / "layout"), "1.0"))
    assert len(both) == 2


def test_an_archive_is_the_same_bytes_each_time(tmp_path):
    """It is a layout, and names the image for Docker, too."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    written = archive([its], made)
    assert written == archive([its], builder_with(made))
    (tmp_path / "image.tar").write_bytes(written)
    assert verify(ArchiveSource(str(tmp_path / "image.tar"))).faults == ()
    with tarfile.open(tmp_path / "image.tar") as opened:
        (entry,) = json.load(opened.extractfile("manifest.json"))
        names = opened.getnames()
    assert entry["RepoTags"] == ["registry.example/app:1.0"]
    assert {entry["Config"], *entry["Layers"], "oci-layout", "index.json"} <= {*names}
    assert names == sorted(names)


def builder_with(made):
    """Return a builder over the same blobs, which has seen nothing yet."""
    other = builder(made.blobs.directory)
    image(other)
    return other


def test_an_archive_of_two_platforms_is_no_archive_for_docker(tmp_path):
    """Docker would take both under one name, and keep the last."""
    made = builder(tmp_path / "blobs")
    (tmp_path / "image.tar").write_bytes(archive([image(made), image(made, platform=ARM64)], made))
    with tarfile.open(tmp_path / "image.tar") as opened:
        assert "manifest.json" not in opened.getnames()
    assert len(stored_images(ArchiveSource(str(tmp_path / "image.tar"), "1.0"))) == 2


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("alter", ["change", "shorten", "lengthen", "remove"])
def test_an_altered_layer_is_refused_by_name(tmp_path, number, alter):
    """Whichever layer it is, and whatever happened to it; the other layers are not accused."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    source = layout(tmp_path, [its], made)
    layer = its.layers[number].descriptor
    altered(tmp_path / "layout/blobs" / layer.digest.replace(":", "/"), alter)
    (fault,) = verify(source).faults
    assert layer.digest.partition(":")[2] in fault.message
    assert isinstance(fault, CorruptedBlob) or alter == "remove"


@pytest.mark.parametrize("alter", ["change", "shorten", "lengthen", "remove"])
@pytest.mark.parametrize("what", ["manifest", "config"])
def test_an_altered_document_is_refused_by_name(tmp_path, what, alter):
    """Nothing below it can be known then."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    source = layout(tmp_path, [its], made)
    digest = (its.descriptor if what == "manifest" else its.config_descriptor).digest
    altered(tmp_path / "layout/blobs" / digest.replace(":", "/"), alter)
    with pytest.raises(ImageError, match=digest.partition(":")[2]):
        verify(source)


def altered(path, how):
    content = path.read_bytes()
    path.unlink()  # it may be a link to the blob of the builder
    if how != "remove":
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"change": changed, "shorten": content[:-1], "lengthen": content + b"\0"}[how])


def test_a_layer_that_is_not_what_its_configuration_says_is_refused(tmp_path):
    """The blob has its digest, but another archive is in it."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    layout(tmp_path, [its], made)
    layers = [layer.descriptor for layer in its.layers]
    layers[0], layers[1] = layers[1], layers[0]
    write_index(tmp_path, manifest(its.config_descriptor, layers), MANIFEST)
    faults = verify(LayoutSource(str(tmp_path / "layout"))).faults
    assert [fault.digest for fault in faults] == [layer.digest for layer in layers[:2]]
    assert all("unpacked, its digest is" in fault.message for fault in faults)


@pytest.mark.parametrize(
    ("suffix", "content"), [("+gzip", b"no gzip"), ("+zstd", b"no zstd"), ("+gzip", b""), ("+zstd", b"")]
)
def test_a_layer_that_cannot_be_unpacked_is_refused(tmp_path, suffix, content):
    """Although its digest is right; an empty blob ends too early."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    layout(tmp_path, [its], made)
    layer = describe(content, f"{LAYER}{suffix}")
    (tmp_path / "layout/blobs" / layer.digest.replace(":", "/")).write_bytes(content)
    layers = [layer, *(each.descriptor for each in its.layers[1:])]
    write_index(tmp_path, manifest(its.config_descriptor, layers), MANIFEST)
    (fault,) = verify(LayoutSource(str(tmp_path / "layout"))).faults
    assert fault.digest == layer.digest
    assert "it cannot be unpacked" in fault.message


def write_index(tmp_path, data, media_type):
    """Have the layout name this document, and nothing else."""
    descriptor = describe(data, media_type)
    (tmp_path / "layout/blobs" / descriptor.digest.replace(":", "/")).write_bytes(data)
    (tmp_path / "layout/index.json").write_bytes(index([descriptor]))


def test_indexes_in_each_other_come_to_an_end(tmp_path):
    """Three levels are read, more are refused."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    layout(tmp_path, [its], made)
    data = index([its.descriptor])
    for level in range(1, 6):
        write_index(tmp_path, data, INDEX)
        if level <= 3:
            assert len(stored_images(LayoutSource(str(tmp_path / "layout")))) == 1
        else:
            with pytest.raises(Malformed, match="more than 3 indexes lie in each other"):
                stored_images(LayoutSource(str(tmp_path / "layout")))
        data = index([describe(data, INDEX)])


def test_what_other_tools_attach_is_no_image(tmp_path):
    """An attestation in an index has the platform `unknown`."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    layout(tmp_path, [its], made)
    attached = describe(b"{}", MANIFEST, platform=AMD64.__class__("unknown", "unknown"))
    write_index(tmp_path, index([its.descriptor, attached]), INDEX)
    assert len(stored_images(LayoutSource(str(tmp_path / "layout")))) == 1


def test_a_configuration_with_another_number_of_layers_is_refused(tmp_path):
    """It would give layers the wrong names."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    layout(tmp_path, [its], made)
    write_index(tmp_path, manifest(its.config_descriptor, [its.layers[0].descriptor]), MANIFEST)
    with pytest.raises(Malformed, match="another number of layers"):
        stored_images(LayoutSource(str(tmp_path / "layout")))


def test_a_document_that_is_too_large_is_not_read(tmp_path):
    """Whatever its descriptor says."""
    made = builder(tmp_path / "blobs")
    layout(tmp_path, [image(made)], made)
    huge = describe(b"", CONFIG)
    huge = huge.__class__(media_type=CONFIG, digest=huge.digest, size=1 << 40)
    write_index(tmp_path, manifest(huge, []), MANIFEST)
    with pytest.raises(Malformed, match="more than 4 MiB"):
        stored_images(LayoutSource(str(tmp_path / "layout")))


@pytest.mark.parametrize("content", [b"", b"x" * 2000, b"\0" * 1024])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    """As is an archive of something else."""
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(EskerError, match=r"x\.tar"):
        stored_images(ArchiveSource(str(tmp_path / "x.tar")))


def test_a_directory_without_a_layout_is_named(tmp_path):
    """With a hint at what belongs there."""
    with pytest.raises(NotFound, match=f"there is no image in `{tmp_path}`"):
        stored_images(LayoutSource(str(tmp_path)))


def stored(tmp_path, name, its_units, configuration=None, codec="gzip"):
    made = builder(tmp_path / "blobs", codec)
    source = LayoutSource(str(tmp_path / name))
    write_layout(str(tmp_path / name), [image(made, its_units, configuration=configuration)], NAME, made)
    return stored_images(source)[0]


def test_an_image_says_what_it_holds(tmp_path):
    """Each layer has its name and its units."""
    layers = contents(stored(tmp_path, "a", units()))
    assert [layer.name for layer in layers] == ["base", "conda/tool", "small packages", "configuration", "application"]
    assert [(each.name, each.version) for each in layers[2].units] == [("conda/small", "1"), ("wheel/ümlaut", "1")]


def test_the_difference_of_equal_images_is_empty(tmp_path):
    """Nothing has to be fetched."""
    first, second = stored(tmp_path, "a", units()), stored(tmp_path, "b", units())
    found = difference(first, second)
    assert (found.layers, found.settings, found.size) == ((), (), 0)
    assert len(found.same) == 5


def test_a_difference_has_its_reason(tmp_path):
    """A new version, a package that came or went, the same version with other files, and another codec."""
    before = units()
    first = stored(tmp_path, "a", before)

    def reasons(name, its_units, **fields):
        return {
            change.name: change.reason
            for change in difference(first, stored(tmp_path, name, its_units, **fields)).layers
        }

    assert reasons("b", units("x", "2")) == {"conda/tool": "conda/tool 1 became 2"}
    assert reasons("c", units("x")) == {"conda/tool": "conda/tool 1 has other files"}
    assert reasons("d", [*before, unit("new", File("/opt/n", b""))]) == {"small packages": "new 1 is new"}
    assert reasons("e", [each for each in before if each.name != "conda/small"]) == {
        "small packages": "conda/small 1 is gone"
    }
    assert reasons("f", [each for each in before if each.name != "app"]) == {"application": "the layer is gone"}
    assert set(reasons("g", before, codec="zstd").values()) == {"the same files are compressed in another way"}
    moved = [each._replace(category="base") if each.name == "conda/small" else each for each in before]
    assert reasons("h", moved) == {"base": "conda/small 1 is new", "small packages": "conda/small 1 is gone"}
    large = [each._replace(size=9 << 20) if each.name == "conda/small" else each for each in before]
    assert reasons("i", large)["conda/small"] == "its packages were in `small packages`"


def test_images_that_are_not_the_same_differ_in_something(tmp_path):
    """Also if only the order of their layers or their time is another one: `diff` says why digests are not equal."""
    its_units = [unit(name, File(f"/opt/{name}", name.encode()), category=name) for name in ("low", "high")]

    def stored_as(name, explicit, created):
        made = builder(tmp_path / "blobs", created=created)
        its = made.image(its_units, Configuration(), AMD64, explicit=explicit)
        return stored_images(layout(tmp_path / name, [its], made))[0]

    first = stored_as("a", ("low", "high"), 1)
    moved = difference(first, stored_as("b", ("high", "low"), 1))
    assert (moved.layers, moved.settings) == ((), (("order", "low, high", "high, low"),))
    later = difference(first, stored_as("c", ("low", "high"), 2))
    assert (later.layers, later.settings) == ((), (("created", "1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"),))


def test_a_difference_of_what_engines_are_asked(tmp_path):
    """Each variable and label by its own name."""
    first = stored(tmp_path, "a", units(), Configuration(env={"A": "1", "B": "1"}, cmd=("x",), labels={"l": "1"}))
    second = stored(tmp_path, "b", units(), Configuration(env={"A": "2", "C": "1"}, cmd=("x",), user="5"))
    found = [(each.name, each.before, each.after) for each in difference(first, second).settings]
    assert found == [
        ("Env A", "1", "2"),
        ("Env B", "1", None),
        ("Env C", None, "1"),
        ("Labels l", "1", None),
        ("User", None, "5"),
    ]


def header(kind, size):
    """Return a header that claims a size, with the right sum."""
    made = bytearray(tar.header(kind, "a"))
    made[124:136] = size
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


@pytest.mark.parametrize("kind", [tar.FILE, b"x", b"L"], ids=["file", "extended", "name"])
@pytest.mark.parametrize(
    "size",
    [b"\x80" + b"\x7f" * 11, b"\x80" + b"\0" * 6 + b"\x10" + b"\0" * 4, b"\xff" * 10 + b"\xfe\0", b"77777777777\0"],
    ids=["too large for a file", "64 GiB", "negative", "8 GiB"],
)
def test_an_archive_that_claims_too_much_is_refused(tmp_path, kind, size):
    """Before so much memory is taken, and without an end that never comes."""
    (tmp_path / "x.tar").write_bytes(header(kind, size) + bytes(4096))
    with pytest.raises(Malformed, match=r"x\.tar` is no archive of an image") as caught:
        ArchiveSource(str(tmp_path / "x.tar"))
    assert "not compressed" in caught.value.hint


def test_an_archive_of_too_many_files_is_refused(tmp_path, monkeypatch):
    """Each is kept in memory."""
    monkeypatch.setattr("esker.ship.image.stored._MOST_MEMBERS", 3)
    (tmp_path / "x.tar").write_bytes(tar.header(tar.FILE, "a") * 4 + tar.END)
    with pytest.raises(Malformed, match="it has more than 3 members"):
        ArchiveSource(str(tmp_path / "x.tar"))


def test_a_blob_that_cannot_be_read_is_not_said_to_be_damaged(tmp_path, monkeypatch):
    """Nobody knows if it is; the advice for damaged blobs is to delete them."""
    made = builder(tmp_path / "blobs")
    its = image(made)
    source = layout(tmp_path, [its], made)
    pieces = source.pieces

    def refused(descriptor):
        if descriptor == its.layers[0].descriptor:
            with files.refused("read", "the blob", ImageError):
                raise PermissionError(errno.EACCES, "Permission denied")
        return pieces(descriptor)

    monkeypatch.setattr(source, "pieces", refused)
    with pytest.raises(ImageError, match="cannot read `the blob`: permission denied"):
        verify(source)
