"""What conda packages say of themselves: real shapes are read, and no path is believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import Malformed
from esker.formats.conda import package_info
from esker.formats.conda.package_info import EntryPoint, Index, ListedPath, Placeholder
from tests.support.conda_package import PLACEHOLDER, Link, package


def paths(*entries):
    return json.dumps({"paths": list(entries), "paths_version": 1}).encode()


def test_paths_of_every_kind():
    """Files, links and directories, with placeholders of both modes; a mode that is not said is text."""
    data = paths(
        {"_path": "lib/a", "path_type": "hardlink", "sha256": "0" * 64, "size_in_bytes": 1},
        {"_path": "lib/b", "path_type": "softlink"},
        {"_path": "lib/c", "path_type": "directory"},
        {"_path": "bin/d", "path_type": "hardlink", "prefix_placeholder": "/p", "file_mode": "binary"},
        {"_path": "bin/e", "prefix_placeholder": "/p", "no_link": True},
    )
    assert package_info.listed_paths(data) == (
        ListedPath("lib/a", is_directory=False, placeholder=None),
        ListedPath("lib/b", is_directory=False, placeholder=None),
        ListedPath("lib/c", is_directory=True, placeholder=None),
        ListedPath("bin/d", is_directory=False, placeholder=Placeholder(b"/p", is_binary=True)),
        ListedPath("bin/e", is_directory=False, placeholder=Placeholder(b"/p", is_binary=False)),
    )


def test_index():
    """Name, version and build, and of which kind the package is; an old `noarch: true` is generic."""
    said = {"name": "a", "version": "1", "build": "0", "depends": []}
    for noarch, expected in (
        (None, None),
        (False, None),
        (True, "generic"),
        ("generic", "generic"),
        ("python", "python"),
    ):
        data = json.dumps({**said, "noarch": noarch}).encode()
        assert package_info.index(data) == Index("a", "1", "0", expected, None)
    place = json.dumps({**said, "python_site_packages_path": "lib/python3.13t/site-packages"}).encode()
    assert package_info.index(place).site_packages == "lib/python3.13t/site-packages"


def test_entry_points():
    """Commands, with any space around them; a link.json without them has none."""
    data = json.dumps({"noarch": {"type": "python", "entry_points": ["a-b=c.d:e.f", " g = h : i "]}})
    assert package_info.entry_points(data.encode()) == (EntryPoint("a-b", "c.d", "e.f"), EntryPoint("g", "h", "i"))
    for empty in ("{}", '{"noarch": "generic"}', '{"noarch": {"entry_points": null}}'):
        assert package_info.entry_points(empty.encode()) == ()
    for wrong in ('{"noarch": {"entry_points": "a = b:c"}}', '{"noarch": {"entry_points": [1]}}'):
        with pytest.raises(Malformed, match="not a list of strings"):
            package_info.entry_points(wrong.encode())


@pytest.mark.parametrize(
    "entry",
    [
        {"_path": 1},
        {"_path": "a", "path_type": "junction"},
        {"_path": "a", "path_type": {}},
        {"_path": "a", "prefix_placeholder": "/p", "file_mode": []},
        {"_path": "a", "prefix_placeholder": 1},
        {"_path": "a", "prefix_placeholder": ""},
        {"_path": "a", "prefix_placeholder": "/p\0q"},
        {"_path": "a", "prefix_placeholder": "/p", "file_mode": "x"},
    ],
    ids=repr,
)
def test_values_that_conda_does_not_have(entry):
    """A value of another type, and a word that the format lacks, are refused."""
    with pytest.raises(Malformed):
        package_info.listed_paths(paths(entry))


@given(st.lists(st.sampled_from(["..", ".", "", "a", "lib", "..a", "a..", "\0", "…"]), max_size=6).map("/".join))
def test_a_path_stays_below_its_prefix(path):
    """What is let through is its own shortest form, and lies below the prefix."""
    import os

    try:
        package_info.check_path(path)
    except Malformed:
        assert path != os.path.normpath(path) or path.startswith(("..", "/", ".")) or "\0" in path or not path
    else:
        assert os.path.normpath(f"/prefix/{path}") == f"/prefix/{path}"


def test_control_characters_are_shown_harmless():
    """A path cannot send control sequences to the terminal by way of a message."""
    with pytest.raises(Malformed) as caught:
        package_info.check_path("../\x1b[2J")
    assert "\x1b" not in str(caught.value)


def test_a_package_of_ours_is_read():
    """What the test channel writes is read as it was meant."""
    made = package("a", files={"bin/a": f"#!{PLACEHOLDER}/bin/sh\n", "lib/b": Link("c")})
    assert package_info.index(json.dumps(made.index).encode()) == Index("a", "1.0", "0", None, None)
