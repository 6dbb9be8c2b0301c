"""`[plugins.esker]` of several layers is merged key by key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.declare.by_key import included, merged, rebased


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
        (
            {
                "image": {
                    "from": "registry.example/low@sha256:1",
                    "python": "/usr/bin/python3.11",
                    "services": True,
                    "layers": [{"name": "python", "packages": ["python"]}],
                    "vars": {"A": "low", "B": "low", "C": False},
                    "prepare": {"/a": {"git": "https://git.example/a", "rev": "v1"}, "/b": {"npm": "b@1"}},
                    "healthcheck": {"test": ["low"], "interval": "9s"},
                }
            },
            {
                "image": {
                    "from": "registry.example/high@sha256:2",
                    "layers": [{"name": "work", "packages": ["git"]}],
                    "vars": {"B": False, "C": "high"},
                    "prepare": {"/a": {"file": "https://files.example/a"}},
                    "healthcheck": {"test": "high"},
                }
            },
            {
                "image": {
                    "from": "registry.example/high@sha256:2",
                    "services": True,
                    "layers": [{"name": "work", "packages": ["git"]}],
                    "vars": {"A": "low", "B": False, "C": "high"},
                    "prepare": {"/a": {"file": "https://files.example/a"}, "/b": {"npm": "b@1"}},
                    "healthcheck": {"test": "high", "interval": "9s"},
                }
            },
        ),
        ({"python": 3}, {"python": {"dependencies": "x"}}, {"python": {"dependencies": "x"}}),
        (
            {"image": {"from": "./base@sha256:1", "python": "/usr/bin/python3.11"}},
            {"image": {"python": "/usr/bin/python3.12"}},
            {"image": {"from": "./base@sha256:1", "python": "/usr/bin/python3.12"}},
        ),
        ({"image": {"prepare": 3}}, {"image": {"prepare": {"/a": 3}}}, {"image": {"prepare": {"/a": 3}}}),
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


def test_paths_of_an_image_lead_from_the_project_that_includes_the_layer():
    """A base that is a path, and what is prepared from paths; addresses and what is no path stay as they are."""
    digest = "@sha256:0"
    table = {
        "image": {
            "from": f"./bases/debian{digest}",
            "python": "/usr/bin/python3",
            "prepare": {
                "/a": {"git": "agents.git", "directory": "agents", "rev": "main"},
                "/b": {"npm-lock": "tools/package-lock.json", "links": {"/bin/b": "bin/b"}},
                "/c": {"git": "https://git.example/c.git"},
                "/d": {"git": "git@git.example:d.git"},
                "/e": {"git": "/srv/e.git"},
                "/f": 3,
            },
        }
    }
    image = rebased(table, "../low")["image"]
    assert image == {
        "from": f"../low/bases/debian{digest}",
        "python": "/usr/bin/python3",
        "prepare": {
            "/a": {"git": "../low/agents.git", "directory": "agents", "rev": "main"},
            "/b": {"npm-lock": "../low/tools/package-lock.json", "links": {"/bin/b": "bin/b"}},
            "/c": {"git": "https://git.example/c.git"},
            "/d": {"git": "git@git.example:d.git"},
            "/e": {"git": "/srv/e.git"},
            "/f": 3,
        },
    }
    copied = rebased({"image": {"from": f"./base{digest}", "prepare": 3}}, ".flox/include/low")["image"]
    assert copied == {"from": f"./.flox/include/low/base{digest}", "prepare": 3}
    for name in (f"registry.example/low{digest}", 3):
        assert rebased({"image": {"from": name}}, "../low")["image"] == {"from": name}
    assert rebased({"image": 3}, "../low") == {"image": 3}


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
    image=some(
        **{
            "name": st.just("n"),
            "from": st.sampled_from(["./a@sha256:0", "r.example/b@sha256:0"]),
            "python": st.just("/p"),
            "layers": st.lists(st.fixed_dictionaries({"name": st.just("l"), "packages": WORDS}), max_size=1),
            "vars": st.dictionaries(st.sampled_from("AB"), st.sampled_from(["a", False]), max_size=2),
            "prepare": st.dictionaries(
                st.sampled_from(["/a", "/b"]),
                st.sampled_from([{"npm-lock": "x"}, {"git": "y", "rev": "v"}, {"git": "https://git.example/y"}]),
                max_size=2,
            ),
            "healthcheck": some(test=st.sampled_from(["a", ["b"]]), retries=st.integers(1, 2)),
        }
    ),
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


@given(TABLES, TABLES)
def test_what_is_of_one_image_may_be_taken_out_before_merging_and_after_it(low, high):
    """An environment between may have taken it out already."""
    assert included(merged(included(low), high)) == included(merged(low, high))


def test_a_layer_says_nothing_of_the_name_and_the_files_of_another_image():
    """All else of its image counts; a table that is none is left for the check."""
    low = {"python": {"source": ["src"]}, "image": {"name": "low", "files": {"/app": ["src"]}, "compression": "zstd"}}
    assert included(low) == {"python": {"source": ["src"]}, "image": {"compression": "zstd"}}
    assert included({"image": 3}) == {"image": 3}
