"""Store paths."""

from __future__ import annotations

from hashlib import sha1, sha256, sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import Malformed
from esker.formats.nix.store_path import StorePath, fixed, make, parse, parse_name, source, text

HELLO = b"hello\n"
TREE = bytes.fromhex("89db6d43833aedfadc1fb338456d3e2c71d89bff296ed1ff65613ee6075ede0e")
TREE_SHA1 = bytes.fromhex("8b0073599acdceb3dee3327448c3763f5f4647dd")
NOTE = text(sha256(HELLO).digest(), "note")

# Nix 2.8 over tests/formats/golden/tree.nar (`nix-store --restore tree`) and its file `greeting`, which holds HELLO
KNOWN = {
    # nix-store --add tree; nix-store --add tree/greeting
    "fy9zc46jlvrb4q0ql7r7v49qcrvrs8gr-tree": source(TREE, "tree"),
    # nix-store --add-fixed sha256|sha1|sha512 tree/greeting; nix-store --add-fixed --recursive sha1 tree
    "9ai0f5kyg5z0fb3szn6ib04v8mx098kw-greeting": fixed("sha256", sha256(HELLO).digest(), "greeting", recursive=False),
    "64sx31zh1nsmqibcx5aip6jijl0kp72c-greeting": fixed("sha1", sha1(HELLO).digest(), "greeting", recursive=False),
    "5aygvsazj0wfl4dmmhq93vizyrikv469-greeting": fixed("sha512", sha512(HELLO).digest(), "greeting", recursive=False),
    "05wi9z007gkynmqcdvl3gsrq0d74bg43-tree": fixed("sha1", TREE_SHA1, "tree", recursive=True),
    # nix-instantiate --eval -E 'builtins.toFile "note" "hello\n"'
    "hk4fa3z1idv58ynl352glj9xxp8j4zg6-note": NOTE,
    # … -E 'builtins.toFile "deps" "see ${builtins.toFile "note" "hello\n"}\n"'
    "wll2m0yf6m49g4yf8ss1ml96b71848yb-deps": text(sha256(f"see {NOTE}\n".encode()).digest(), "deps", [NOTE]),
}


@pytest.mark.parametrize("file_name", KNOWN)
def test_content_addresses_are_those_of_nix(file_name):
    """Sources, texts with and without references, and fixed outputs have the paths that Nix gives them."""
    assert KNOWN[file_name].file_name == file_name


def test_a_recursive_sha256_is_a_source():
    """The one content address that has two names in Nix has one path."""
    assert fixed("sha256", TREE, "tree", recursive=True) == source(TREE, "tree")


def test_references_count_in_any_order_and_a_self_reference_too():
    """What a tree refers to is part of its path; the order in which it was found is not."""
    other = make("other", "other")
    paths = {source(TREE, "t"), source(TREE, "t", [other]), source(TREE, "t", [other], self_reference=True)}
    assert len(paths) == 3
    assert source(TREE, "t", [NOTE, other]) == source(TREE, "t", [other, NOTE])


names = st.text("0123456789ABCXYZabcxyz+-._?=", min_size=1, max_size=211).filter(
    lambda name: name.split("-")[0] not in {".", ".."}
)


@given(st.binary(max_size=50), names)
def test_every_path_is_read_back(fingerprint, name):
    """Parsing undoes rendering, of the whole path and of the directory entry."""
    path = make(fingerprint, name)
    assert parse(str(path)) == parse_name(path.file_name) == path
    assert parse(f"/srv/root/store/{path.file_name}", "/srv/root/store") == path


def test_inputs_decide_the_path():
    """The same fingerprint and name give the same path, in bytes and text; another of either gives another."""
    assert make("a", "n") == make(b"a", "n")
    assert len({make("a", "n").digest, make("b", "n").digest, make("a", "m").digest, source(TREE, "n").digest}) == 4


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
