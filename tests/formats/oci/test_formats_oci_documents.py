"""The documents of images: the same bytes for the same image, and nothing that is no document is read as one."""

from __future__ import annotations

import json

import pytest

from esker.errors import Malformed, UsageError
from esker.formats.oci import config, source_date
from esker.formats.oci.configuration import Configuration, HealthCheck
from esker.formats.oci.documents import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    describe,
    docker_archive,
    document,
    index,
    manifest,
    oci_layer,
)
from esker.formats.oci.platform import Platform
from esker.formats.oci.steps import UnitLine, layer_name, step, unit_lines

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
LAYERS = [describe(b"one", f"{LAYER}+gzip"), describe(b"two", f"{LAYER}+gzip")]
DIFF_ID = f"sha256:{'0' * 64}"


def test_a_manifest_is_read_as_it_was_written():
    """Configuration and layers come back in their order."""
    written = manifest(describe(b"{}", CONFIG), LAYERS)
    assert document(written, "it") == Manifest(config=describe(b"{}", CONFIG), layers=tuple(LAYERS))
    assert json.loads(written)["mediaType"] == MANIFEST
    assert manifest(describe(b"{}", CONFIG), tuple(LAYERS)) == written


def test_an_index_does_not_depend_on_the_order_of_its_images():
    """Manifests stand in the order of their platforms."""
    images = [describe(b"arm", MANIFEST, platform=ARM64), describe(b"amd", MANIFEST, platform=AMD64)]
    written = index(images)
    assert written == index(reversed(images))
    content = document(written, "it")
    assert isinstance(content, Index)
    assert [each.platform for each in content.manifests] == [AMD64, ARM64]
    assert json.loads(written)["mediaType"] == INDEX


GOOD = json.loads(manifest(describe(b"{}", CONFIG), LAYERS))
LAYER_OF = GOOD["layers"][0]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "schemaVersion"),
        ({**GOOD, "schemaVersion": 1}, "schemaVersion"),
        ({**GOOD, "layers": None}, "layers"),
        ({**GOOD, "config": {**LAYER_OF, "digest": "sha256:00"}}, "config.digest"),
        ({**GOOD, "config": {**LAYER_OF, "digest": f"sha512:{'0' * 128}"}}, "config.digest"),
        ({**GOOD, "config": {**LAYER_OF, "digest": f"sha256:{'0' * 64}\n"}}, "config.digest"),
        ({**GOOD, "config": {**LAYER_OF, "digest": f"sha256:../../{'0' * 58}"}}, "config.digest"),
        ({**GOOD, "layers": [{**LAYER_OF, "size": -1}]}, r"layers\[0\].size"),
        ({**GOOD, "layers": [{**LAYER_OF, "size": 10**400}]}, r"layers\[0\].size"),
        ({**GOOD, "layers": [{**LAYER_OF, "urls": ["https://files.example/x"]}]}, "lies elsewhere"),
    ],
)
def test_what_is_no_manifest_is_refused(value, fault):
    """The message says which part is wrong."""
    with pytest.raises(Malformed, match=f"^it .*{fault}"):
        document(json.dumps(value).encode(), "it")


@pytest.mark.parametrize("data", [b"", b"\xff", b"{", b"[" * 100_000, b" " * (5 << 20)])
def test_bytes_that_are_no_json_are_no_manifest(data):
    """Nor is a text that is too deep or too large."""
    with pytest.raises(Malformed, match="no manifest"):
        document(data, "it")


def test_dockers_archive_names_the_blobs_of_the_layout():
    """`manifest.json` leads to the files that `index.json` leads to."""
    (entry,) = json.loads(docker_archive(describe(b"{}", CONFIG), LAYERS, ["app:1"]))
    assert entry["RepoTags"] == ["app:1"]
    assert entry["Layers"] == [f"blobs/{each.digest.replace(':', '/')}" for each in LAYERS]


FULL = Configuration(
    env={"PATH": "/bin", "B": "2"},
    entrypoint=("/entry",),
    cmd=("run",),
    user="1000:1000",
    working_dir="/app",
    ports=("80/tcp",),
    volumes=("/data",),
    labels={"a": "b"},
    stop_signal="SIGINT",
    health_check=HealthCheck(("CMD", "check"), interval=1.5, timeout=2, start_period=3, start_interval=0.25, retries=4),
)


def test_a_configuration_says_all_that_an_engine_is_asked():
    """Each field stands under the name that Docker and OCI have for it; times are nanoseconds."""
    value = json.loads(config.render(FULL, AMD64, [(DIFF_ID, step("base", []))], created=1))
    assert value["config"] == {
        "Env": ["PATH=/bin", "B=2"],
        "Entrypoint": ["/entry"],
        "Cmd": ["run"],
        "User": "1000:1000",
        "WorkingDir": "/app",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "Labels": {"a": "b"},
        "StopSignal": "SIGINT",
        "Healthcheck": {
            "Test": ["CMD", "check"],
            "Interval": 1_500_000_000,
            "Timeout": 2_000_000_000,
            "StartPeriod": 3_000_000_000,
            "StartInterval": 250_000_000,
            "Retries": 4,
        },
    }
    assert value["rootfs"] == {"type": "layers", "diff_ids": [DIFF_ID]}
    assert value["history"] == [{"created": "1970-01-01T00:00:01Z", "created_by": "esker: base"}]
    assert (value["os"], value["architecture"], value["created"]) == ("linux", "amd64", "1970-01-01T00:00:01Z")


def test_what_is_empty_is_as_the_base_has_it():
    """Tables are joined by their names, and a new entry point does away with the base's command."""
    base = config.parse(config.render(FULL, ARM64, [(DIFF_ID, step("base", []))], created=5), "it")
    plain = json.loads(config.render(Configuration(), ARM64, [], created=1, base=base))
    assert plain["config"] == base.settings
    assert plain["rootfs"]["diff_ids"] == [DIFF_ID]
    assert len(plain["history"]) == 1
    more = Configuration(env={"B": "3", "C": "4"}, entrypoint=("/other",), ports=("81/tcp",), labels={"c": "d"})
    changed = json.loads(config.render(more, ARM64, [(DIFF_ID, step("x", []))], created=1, base=base))
    assert changed["config"]["Env"] == ["PATH=/bin", "B=3", "C=4"]
    assert changed["config"]["Entrypoint"] == ["/other"]
    assert "Cmd" not in changed["config"]
    assert changed["config"]["ExposedPorts"] == {"80/tcp": {}, "81/tcp": {}}
    assert changed["config"]["Labels"] == {"a": "b", "c": "d"}
    assert len(changed["history"]) == len(changed["rootfs"]["diff_ids"]) == 2


def test_a_base_without_a_history_gets_one_that_fits():
    """Tools refuse an image whose history does not have an entry for each layer."""
    value = json.loads(config.render(Configuration(), AMD64, [(DIFF_ID, step("a", []))], created=1))
    del value["history"]
    base = config.parse(json.dumps(value).encode(), "it")
    made = json.loads(config.render(Configuration(), AMD64, [(DIFF_ID, step("b", []))], created=1, base=base))
    assert [each["created_by"] for each in made["history"]] == ["base", "esker: b"]


def test_the_history_says_which_units_a_layer_holds():
    """Names with line ends or control characters can neither add lines nor steer a terminal."""
    units = [UnitLine("conda/bash", "5.2", "abc"), UnitLine("evil\nname", "\x1b[2J", "def")]
    made = step("tools", units)
    assert layer_name(made) == "tools"
    assert unit_lines(made) == (units[0], UnitLine("evil name", r"\x1b[2J", "def"))
    assert unit_lines(config.Step("RUN apt-get", "a\tb\tc")) == ()


CONFIG_OF = json.loads(config.render(FULL, AMD64, [(DIFF_ID, step("base", []))], created=1))


@pytest.mark.parametrize(
    "value",
    [
        [],
        {**CONFIG_OF, "os": 1},
        {**CONFIG_OF, "os": "linux\x1b[2J"},
        {**CONFIG_OF, "variant": "v8\n"},
        {**CONFIG_OF, "architecture": None},
        {**CONFIG_OF, "rootfs": {}},
        {**CONFIG_OF, "rootfs": {"diff_ids": ["x"]}},
        {**CONFIG_OF, "config": []},
        {**CONFIG_OF, "config": {"Env": "PATH=/bin"}},
        {**CONFIG_OF, "config": {"Labels": {"a": 1}}},
        {**CONFIG_OF, "history": ["x"]},
    ],
)
def test_what_is_no_configuration_is_refused(value):
    """A value of a wrong type is not passed on to an engine."""
    with pytest.raises(Malformed, match="it is no configuration of an image"):
        config.parse(json.dumps(value).encode(), "it")


@pytest.mark.parametrize(("value", "seconds"), [(None, 1), ("", 1), ("0", 0), ("1700000000", 1_700_000_000)])
def test_source_date_epoch_is_the_time_of_an_image(value, seconds):
    """Without it an image is of the first second."""
    assert source_date.seconds(value) == seconds


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "99999999999999", "\u0661"])
def test_a_wrong_source_date_epoch_is_refused(value):
    """It is not replaced by another time without a word."""
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH is wrong"):
        source_date.seconds(value)


def test_a_descriptor_has_no_more_than_it_says():
    """Empty fields are left out, because they would change the digest."""
    assert "platform" not in manifest(Descriptor(media_type=CONFIG, digest=DIFF_ID, size=0), []).decode()


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (LAYER, LAYER),
        (f"{LAYER}+gzip", f"{LAYER}+gzip"),
        (f"{LAYER}+zstd", f"{LAYER}+zstd"),
        ("application/vnd.docker.image.rootfs.diff.tar", LAYER),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", f"{LAYER}+gzip"),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", f"{LAYER}+zstd"),
    ],
)
def test_kinds_of_layers_in_dockers_words_become_ocis(kind, ours):
    """The bytes are the same, so that digest, size and annotations stay."""
    layer = describe(b"layer", kind, annotations={"a": "b"})
    made = oci_layer(layer, "it")
    assert made == describe(b"layer", ours, annotations={"a": "b"})


@pytest.mark.parametrize("kind", [f"{LAYER}+gzip+encrypted", "application/vnd.oci.empty.v1+json", "", "x\x1b[2J"])
def test_other_kinds_of_layers_are_refused(kind):
    """What is no archive that we know cannot be a layer of an image."""
    with pytest.raises(Malformed, match=f"the layer `{describe(b'x', kind).digest}` of it is of the kind"):
        oci_layer(describe(b"x", kind), "it")
