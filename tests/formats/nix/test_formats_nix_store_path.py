"""Store paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import Malformed
from esker.formats.nix.store_path import StorePath, make, parse, parse_name

names = st.text("0123456789ABCXYZabcxyz+-._?=", min_size=1, max_size=211).filter(
    lambda name: name.split("-")[0] not in {".", ".."}
)


@given(st.text(max_size=50), names)
def test_every_path_is_read_back(fingerprint, name):
    """Parsing undoes rendering, of the whole path and of the directory entry."""
    path = make(fingerprint, name)
    assert parse(str(path)) == parse_name(path.file_name) == path
    assert parse(f"/srv/root/store/{path.file_name}", "/srv/root/store") == path


def test_inputs_decide_the_path():
    """The same fingerprint and name give the same path in every Esker; another of either gives another."""
    assert make("a", "n").file_name == "gzsijsgd9nbasddfi90aiqh1z22jifdy-n"
    assert len({make("a", "n").digest, make("b", "n").digest, make("a", "m").digest}) == 3


DIGEST = "fy9zc46jlvrb4q0ql7r7v49qcrvrs8gr"


@pytest.mark.parametrize(
    "path",
    [
        f"/nix/store/../store/{DIGEST}-tree",
        f"/nix/store/{DIGEST}-tree/bin",
        f"/nix/store/{DIGEST}-tree/",
        f"/nix/store//{DIGEST}-tree",
        f"/nix/stores/{DIGEST}-tree",
        f"{DIGEST}-tree",
        f"/nix/store/{DIGEST}-",
        f"/nix/store/{DIGEST}",
        f"/nix/store/{DIGEST}tree",
        f"/nix/store/{DIGEST}-.",
        f"/nix/store/{DIGEST}-..",
        f"/nix/store/{DIGEST}-..-x",
        f"/nix/store/{DIGEST}-.-x",
        f"/nix/store/{DIGEST}-a b",
        f"/nix/store/{DIGEST}-a\n",
        f"/nix/store/{DIGEST}-a\0b",
        f"/nix/store/{DIGEST}-é",
        f"/nix/store/{DIGEST}-{'x' * 212}",
        f"/nix/store/{DIGEST[1:]}-tree",
        f"/nix/store/{DIGEST[1:]}e-tree",
        f"/nix/store/{DIGEST.upper()}-tree",
        "/nix/store/..",
        "/nix/store/",
        "",
    ],
)
def test_refuses_what_is_no_store_path(path):
    """Traversal, another directory, and digests or names of another length or alphabet are refused."""
    with pytest.raises(Malformed):
        parse(path)


def test_a_name_may_begin_with_a_dot():
    """Newer Nix has such paths, and they do not leave the directory."""
    assert parse_name(f"{DIGEST}-.config").name == ".config"


@pytest.mark.parametrize("name", ["", "..", "a/b", "../../etc/passwd"])
def test_no_path_is_made_with_a_name_that_none_has(name):
    """A name from elsewhere is checked before a path is made of it."""
    with pytest.raises(Malformed, match="not the name"):
        make("x", name)


def test_says_what_is_wrong_with_it():
    """The message holds the value and the rule."""
    with pytest.raises(Malformed) as caught:
        StorePath("short", "name")
    assert str(caught.value) == "`short` is not the digest of a store path: 32 digits of Nix base 32"
