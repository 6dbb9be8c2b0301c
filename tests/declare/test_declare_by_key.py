"""`[plugins.esker]` of several layers is merged key by key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.declare.by_key import merged, rebased


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ({"python": {"version": ">=3.11"}}, {"python": {"version": ">=3.12"}}, {"python": {"version": ">=3.12"}}),
        (
            {"python": {"dependencies": ["App[x]>=1", "b; sys_platform == 'linux'", "b>2"]}},
            {"python": {"dependencies": ["B", "c"]}},
            {"python": {"dependencies": ["App[x]>=1", "B", "c"]}},
        ),
        (
            {
                "conda": {
                    "dependencies": ["Ruby=3.4", {"spec": "gcc", "systems": ["x86_64-linux"]}],
                    "channels": ["a", "b"],
                }
            },
            {"conda": {"dependencies": ["ruby", "gcc>=14"], "channels": ["b", "c"]}},
            {"conda": {"dependencies": ["ruby", "gcc>=14"], "channels": ["b", "c", "a"]}},
        ),
        (
            {"python": {"project": "a.toml", "groups": ["x"], "extras": ["y"], "editable": False, "source": ["s"]}},
            {"python": {"project": "b.toml", "source": ["t", "s"]}},
            {"python": {"project": "b.toml", "source": ["t", "s"]}},
        ),
        (
            {"services": {"db": {"healthcheck": {"tcp": "a:1", "interval": "9s"}, "ports": {"A": 0, "B": 0}}}},
            {"services": {"db": {"healthcheck": {"unix": "/s"}, "ports": {"A": 5432}}, "web": {}}},
            {
                "services": {
                    "db": {"healthcheck": {"unix": "/s", "interval": "9s"}, "ports": {"A": 5432, "B": 0}},
                    "web": {},
                }
            },
        ),
        (
            {"compose": {"file": "a.yml", "services": ["x"]}},
            {"compose": {"file": "b.yml"}},
            {"compose": {"file": "b.yml"}},
        ),
        (
            {"python": {"version": {"range": ">=3.11", "lock": "all"}, "programs": {"a": ["x", "y"], "b": "z"}}},
            {"python": {"version": {"range": ">=3.12"}, "programs": {"a": {"n": "x"}}}},
            {"python": {"version": {"range": ">=3.12"}, "programs": {"a": {"n": "x"}, "b": "z"}}},
        ),
        ({"python": 3}, {"python": {"dependencies": "x"}}, {"python": {"dependencies": "x"}}),
    ],
)
def test_the_rules(low, high, expected):
    """Tables go into each other, values are the higher layer's, packages are united by name."""
    assert merged(low, high) == expected


def test_paths_lead_from_the_project_that_includes_the_layer():
    """The project, its sources and the Compose file lie where the layer has them; what is no path stays."""
    table = {
        "python": {"project": "pyproject.toml", "source": ["src", "../lib"], "groups": ["dev"]},
        "compose": {"file": "c.yml", "services": ["x"]},
        "services": {"project": {}},
    }
    assert rebased(table, "../low") == {
        "python": {"project": "../low/pyproject.toml", "source": ["../low/src", "../lib"], "groups": ["dev"]},
        "compose": {"file": "../low/c.yml", "services": ["x"]},
        "services": {"project": {}},
    }
    assert rebased({"python": {"source": ["/etc", "~", 3, ""], "project": 3}}, "x")["python"]["source"] == [
        "/etc",
        "~",
        3,
        "",
    ]


def some(**values):
    return st.fixed_dictionaries({}, optional=values)


NAMES = st.lists(st.sampled_from(["a", "A>=1", "b", "c>2"]), max_size=3)
WORDS = st.lists(st.sampled_from(["x", "y", "z"]), unique=True, max_size=2)
TABLES = some(
    python=some(
        version=st.sampled_from([">=3.11", {"range": ">=3.12"}]),
        dependencies=NAMES,
        project=st.sampled_from(["p", "q"]),
        groups=WORDS,
        source=WORDS,
        programs=st.dictionaries(st.sampled_from("ab"), st.sampled_from(["x", ["x"], {"n": "x"}]), max_size=2),
    ),
    conda=some(dependencies=NAMES, channels=WORDS),
    services=st.dictionaries(
        st.sampled_from(["s", "t"]),
        some(
            restart=st.sampled_from(["no", "always"]),
            healthcheck=some(tcp=st.just("a:1"), test=st.just("t"), interval=st.sampled_from(["1s", "2s"])),
            ports=st.dictionaries(st.sampled_from("AB"), st.integers(0, 9), max_size=2),
        ),
        max_size=2,
    ),
    compose=some(file=st.sampled_from(["a", "b"]), services=WORDS),
)


@given(TABLES, TABLES, TABLES)
def test_the_merge_is_associative(low, middle, high):
    """An environment between may merge its own layers first; the result is the same."""
    assert merged(merged(low, middle), high) == merged(low, merged(middle, high))


@given(TABLES)
def test_nothing_changes_nothing(table):
    """An empty layer above or below leaves a table as it is."""
    assert merged(table, {}) == merged({}, table) == table


@given(TABLES, TABLES)
def test_moving_before_merging_and_after_it_is_the_same(low, high):
    """A layer's paths may be moved step by step, from environment to environment."""
    assert rebased(merged(low, high), "../n") == merged(rebased(low, "../n"), rebased(high, "../n"))


def test_the_image_of_a_layer_does_not_count():
    """An image holds files of the project itself, so that an included environment says nothing of it."""
    low = rebased({"python": {"source": ["src"]}, "image": {"files": {"/app": ["src"]}}}, "../low")
    assert low == {"python": {"source": ["../low/src"]}}
