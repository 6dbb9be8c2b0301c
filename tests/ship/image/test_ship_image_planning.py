"""Layers are planned so that each unit lies in one of them, and a new version of a unit changes no other layer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.errors import ImageError
from esker.formats.oci.layer_names import APPLICATION, CONFIGURATION
from esker.ship.image.planning import SMALLEST_LAYER, _bucket, plan
from esker.ship.image.unit import Unit

MIB = 1 << 20
CODEC = "none"


def unit(name, size=MIB, category="", key="1"):
    return Unit(name, f"{name} {key}", size, list, category)


UNITS = st.lists(
    st.builds(
        unit,
        st.integers(0, 99).map("unit-{}".format),
        st.integers(0, 40 * MIB),
        st.sampled_from(["", "", "", "node", "base", CONFIGURATION, APPLICATION]),
    ),
    max_size=40,
    unique_by=lambda each: each.name,
)


@settings(deadline=None)
@given(UNITS)
def test_each_unit_lies_in_one_layer(units):
    """Whatever the units are: each is in exactly one layer, no layer is empty, and there are not too many layers."""
    layers = plan(units, explicit=("base", "node"), codec=CODEC, most=12)
    assert sorted(each.name for layer in layers for each in layer.units) == sorted(each.name for each in units)
    assert all(layer.units for layer in layers)
    assert len(layers) <= 12
    assert len({layer.key for layer in layers}) == len(layers)


@settings(deadline=None)
@given(UNITS, st.randoms())
def test_the_order_of_the_units_does_not_matter(units, random):
    """The same units in another order are the same layers."""
    shuffled = random.sample(units, len(units))
    assert plan(units, explicit=("base", "node"), codec=CODEC) == plan(shuffled, explicit=("base", "node"), codec=CODEC)


@settings(deadline=None)
@given(UNITS.filter(bool), st.data())
def test_a_new_version_of_the_same_size_changes_one_layer(units, data):
    """Where one unit gets another key, its own layer gets another key, and every other layer keeps its own."""
    changed = data.draw(st.sampled_from(units))
    after = [each._replace(key="another") if each is changed else each for each in units]
    layers, others = (plan(each, explicit=("base", "node"), codec=CODEC) for each in (units, after))
    assert [layer.name for layer in layers] == [layer.name for layer in others]
    different = [layer for layer, other in zip(layers, others, strict=True) if layer.key != other.key]
    assert [changed.name in {each.name for each in layer.units} for layer in different] == [True]


def test_the_table_comes_first_and_the_application_last():
    """Explicit layers keep the order of their table; configuration and application come after all others."""
    units = [unit("app", category=APPLICATION), unit("conf", category=CONFIGURATION), unit("python", 40 * MIB)]
    units += [unit("sh", category="tools"), unit("node", category="node")]
    layers = plan(units, explicit=("tools", "unused", "node"), codec=CODEC)
    assert [layer.name for layer in layers] == ["tools", "node", "python", "configuration", "application"]


def test_a_large_unit_lies_alone_and_small_ones_together():
    """A unit of the smallest size is a layer; smaller ones share layers that reach it, as far as there are enough."""
    units = [unit("large", SMALLEST_LAYER), *(unit(f"small-{number}") for number in range(100))]
    layers = plan(units, codec=CODEC)
    assert [each.name for each in layers[0].units] == ["large"]
    assert len(layers) > 4
    assert all(layer.size >= SMALLEST_LAYER for layer in layers)


def test_few_small_units_are_one_layer():
    """Where all small units together do not reach the smallest size, they still are a layer."""
    (layer,) = plan([unit("a"), unit("b")], codec=CODEC)
    assert layer.name == "small packages"
    assert layer.size == 2 * MIB


def test_the_largest_lie_alone_where_there_are_too_many():
    """With more large units than layers, the largest ones get a layer of their own."""
    units = [unit(f"unit-{number}", (10 + number) * MIB) for number in range(100)]
    layers = plan(units, codec=CODEC, most=10)
    alone = {layer.units[0].name for layer in layers if len(layer.units) == 1}
    assert len(layers) == 10
    assert {f"unit-{number}" for number in range(91, 100)} <= alone


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), min_size=1, unique=True), st.integers(1, 60))
def test_one_bucket_more_divides_one_bucket(names, count):
    """With one bucket more, a name stays where it was or moves to the new bucket, and all that move were in one."""
    moved = {_bucket(name, count) for name in names if _bucket(name, count) != _bucket(name, count + 1)}
    assert len(moved) <= 1
    assert all(_bucket(name, count + 1) in {_bucket(name, count), count} for name in names)
    assert all(0 <= _bucket(name, count) < count for name in names)


def test_another_codec_is_another_layer():
    """The key of a layer depends on the codec, with its version, and on nothing but the keys of its units else."""
    (first,), (second,) = (plan([unit("a")], codec=codec) for codec in ("zstd 1.5.6", "zstd 1.5.7"))
    assert first.key != second.key
    assert plan([unit("a")._replace(size=5, version="9")], codec="zstd 1.5.6")[0].key == first.key


def test_too_many_declared_layers_are_refused():
    """Where the table leaves no layer for the other packages, the message says how many there may be."""
    units = [unit(f"u{number}", category=f"c{number}") for number in range(3)]
    with pytest.raises(ImageError, match="3 layers are declared, and the image may have 3 at most"):
        plan([*units, unit("more")], explicit=("c0", "c1", "c2"), codec=CODEC, most=3)


@pytest.mark.parametrize(
    ("units", "message"),
    [([unit("a"), unit("a")], "two units have the name `a`"), ([unit("a", category="x")], "the layer `x`")],
)
def test_a_wrong_list_of_units_is_refused(units, message):
    """Two units of one name, and a category that stands in no table, are mistakes of the caller."""
    with pytest.raises(ValueError, match=message):
        plan(units, codec=CODEC)
