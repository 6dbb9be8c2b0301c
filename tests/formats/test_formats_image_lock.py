"""`image.lock`: what is written is read again, and what does not follow the format is refused with its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.errors import InvalidLock
from esker.formats.image_lock import ImageLock, LockedInput, LockedLayer, parse, render

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LAYERS = st.builds(
    LockedLayer,
    name=TEXT,
    platform=st.sampled_from(["linux/amd64", "linux/arm64"]),
    key=HEX,
    media_type=TEXT,
    digest=HEX.map("sha256:{}".format),
    size=st.integers(0, 1 << 40),
    diff_id=HEX.map("sha256:{}".format),
)
INPUTS = st.builds(
    LockedInput, kind=TEXT, name=TEXT, platform=TEXT, url=TEXT, hash=TEXT, has_install_script=st.booleans()
)


@settings(deadline=None)
@given(
    st.lists(LAYERS, max_size=4, unique_by=lambda each: each.key),
    st.lists(INPUTS, max_size=4, unique_by=lambda each: (each.kind, each.name, each.platform)),
)
def test_what_is_written_is_read(layers, inputs):
    """A lock survives a round trip, in an order that does not depend on the order of its inputs."""
    written = render(ImageLock(layers=tuple(layers), inputs=tuple(inputs)))
    again = parse(written, "image.lock")
    assert {*again.layers} == {*layers}
    assert [each for each in again.layers if each.platform == "linux/amd64"] == [
        each for each in layers if each.platform == "linux/amd64"
    ]
    assert render(ImageLock(layers=again.layers, inputs=tuple(reversed(inputs)))) == written


LAYER = {
    "name": "base",
    "platform": "linux/amd64",
    "key": "0" * 64,
    "media-type": "application/vnd.oci.image.layer.v1.tar+gzip",
    "digest": f"sha256:{'1' * 64}",
    "size": 5,
    "diff-id": f"sha256:{'2' * 64}",
}
OTHERS = ({"digest": f"sha256:{'3' * 64}"}, {"size": 6}, {"diff-id": f"sha256:{'3' * 64}"})
"""What a merge may leave of the same layer."""
INPUT = {"kind": "python", "name": "cpython", "platform": "", "url": "https://files.example/python.tar.gz", "hash": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"version": 2}',
        '{"version": 1, "others": []}',
        *(json.dumps({"version": 1, "layers": [{**LAYER, name: None}]}) for name in LAYER),
        *(json.dumps({"version": 1, "layers": [{key: LAYER[key] for key in LAYER if key != name}]}) for name in LAYER),
        json.dumps({"version": 1, "layers": [{**LAYER, "digest": "md5:00"}]}),
        json.dumps({"version": 1, "layers": [{**LAYER, "size": -1}]}),
        json.dumps({"version": 1, "layers": [{**LAYER, "more": 1}]}),
        json.dumps({"version": 1, "inputs": [INPUT, INPUT]}),
        *(json.dumps({"version": 1, "layers": [LAYER, {**LAYER, **other}]}) for other in OTHERS),
    ],
)
def test_what_is_no_lock_is_refused(text):
    """A missing key, one too many, a value of another type, and what is locked twice are errors of the file."""
    expected = r"image\.lock: (not a lock of an image|an input is locked twice|the layer `base` is locked twice)"
    with pytest.raises(InvalidLock, match=expected):
        parse(text.encode(), "image.lock")


def test_a_layer_of_two_platforms_is_locked_for_each():
    """It is the same blob, so nothing contradicts."""
    layers = [LAYER, {**LAYER, "platform": "linux/arm64"}]
    assert len(parse(json.dumps({"version": 1, "layers": layers}).encode(), "image.lock").layers) == 2
