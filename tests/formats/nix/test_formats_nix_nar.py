"""Nix archives."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import Malformed
from esker.formats.nix.nar import Directory, Regular, Symlink, dump, parse

# nix-store --dump tree, of the entries in TREE (Nix 2.8)
GOLDEN = os.path.join(os.path.dirname(__file__), "golden", "tree.nar")
TREE = [
    Directory(()),
    Regular((b"empty",), False, 0, [b""]),
    Regular((b"greeting",), False, 6, [b"hello\n"]),
    Regular((b"run",), True, 10, [b"#!/bin/sh\n"]),
    Directory((b"sub",)),
    Symlink((b"sub", b"link"), b"../greeting"),
]


def golden():
    with open(GOLDEN, "rb") as file:
        return file.read()


def read(data, step=1 << 20):
    """Give what `parse` makes of `data` read in steps, with the contents of files joined."""
    stream = io.BytesIO(data)
    return [
        entry._replace(chunks=[b"".join(entry.chunks)]) if isinstance(entry, Regular) else entry
        for entry in parse(lambda count: stream.read(min(count, step)))
    ]


def word(data):
    return struct.pack("<Q", len(data)) + data + bytes(-len(data) % 8)


def words(*given):
    """Join words to an archive; bytes that stand in a tuple are put in as they are."""
    return b"".join(each[0] if isinstance(each, tuple) else word(each) for each in (b"nix-archive-1", *given))


LEAF = (b"(", b"type", b"symlink", b"target", b"x", b")")


def directory(*names):
    inside = [part for name in names for part in (b"entry", b"(", b"name", name, b"node", *LEAF, b")")]
    return words(b"(", b"type", b"directory", *inside, b")")


def test_writes_what_nix_writes():
    """A tree with a file, a program, an empty file and a link is the archive that `nix-store --dump` made, byte for byte."""
    assert b"".join(dump(TREE)) == golden()


@pytest.mark.parametrize("step", [1, 7, 8, 4096])
def test_reads_what_nix_wrote(step):
    """The same archive gives the same entries, however its bytes arrive."""
    assert read(golden(), step) == TREE


names = st.binary(min_size=1, max_size=12).filter(
    lambda name: name not in {b".", b".."} and b"/" not in name and b"\0" not in name
)
leaves = st.one_of(
    st.tuples(st.booleans(), st.binary(max_size=40)),
    st.binary(min_size=1, max_size=40).filter(lambda target: b"\0" not in target),
)
trees = st.recursive(leaves, lambda children: st.dictionaries(names, children, max_size=4), max_leaves=12)


def flat(tree, path=()):
    if isinstance(tree, dict):
        yield Directory(path)
        for name in sorted(tree):
            yield from flat(tree[name], (*path, name))
    elif isinstance(tree, tuple):
        yield Regular(path, tree[0], len(tree[1]), [tree[1]])
    else:
        yield Symlink(path, tree)


@given(trees)
def test_every_tree_comes_back(tree):
    """Parsing undoes dumping, also of a tree that is a single file or link."""
    assert read(b"".join(dump(flat(tree)))) == list(flat(tree))


def test_two_archives_are_never_the_same_tree():
    """Whatever byte of an archive is changed, it is refused or is the one archive of another tree."""
    original = golden()
    accepted = 0
    for position in range(len(original)):
        changed = bytearray(original)
        changed[position] ^= 1
        try:
            entries = read(bytes(changed))
        except Malformed:
            continue
        accepted += 1
        assert b"".join(dump(entries)) == changed
    assert accepted > 20


def test_an_archive_that_ends_early_is_refused():
    """No beginning of an archive is taken for an archive."""
    original = golden()
    for length in range(len(original)):
        with pytest.raises(Malformed):
            read(original[:length])


REFUSED = {
    "empty name": (directory(b""), "`` is not a name"),
    "dot": (directory(b"."), "`.` is not a name"),
    "two dots": (directory(b".."), "`..` is not a name"),
    "slash": (directory(b"a/b"), "`a/b` is not a name"),
    "NUL in a name": (directory(b"a\0"), "`a` is not a name"),
    "long name": (directory(b"n" * 256), "a word of 256 bytes where at most 255"),
    "order": (directory(b"b", b"a"), "`a` is out of order"),
    "twice": (directory(b"a", b"a"), "`a` is out of order"),
    "order by bytes": (directory(b"\xff", b"\xfe"), "out of order"),
    "bytes after the end": (directory(b"a") + b"\0", "bytes follow the end"),
    "device": (words(b"(", b"type", b"device", b")"), "unknown type `device`"),
    "no contents": (words(b"(", b"type", b"regular", b")"), "`)` where `contents` is expected"),
    "executable with a value": (words(b"(", b"type", b"regular", b"executable", b"x"), "where `` is expected"),
    "padding": (
        words(b"(", b"type", b"regular", b"contents", (struct.pack("<Q", 3) + b"abc\0\0\0\0x",), b")"),
        "padding is not zero",
    ),
    "contents without end": (
        words(b"(", b"type", b"regular", b"contents", (struct.pack("<Q", 1 << 60),)),
        "ends in the middle",
    ),
    "empty target": (
        words(b"(", b"type", b"symlink", b"target", b"", b")"),
        "`` cannot be the target of a symbolic link",
    ),
    "NUL in a target": (
        words(b"(", b"type", b"symlink", b"target", b"a\0b", b")"),
        "cannot be the target of a symbolic link",
    ),
    "long target": (words(b"(", b"type", b"symlink", b"target", b"x" * 4096, b")"), "at most 4095"),
    "no entry": (words(b"(", b"type", b"directory", b"node"), "`node` where an entry is expected"),
    "word without end": (words(b"(", b"type", (struct.pack("<Q", 1 << 62),)), "a word of 4611686018427387904 bytes"),
    "no archive": (b"nix-archive-1", "ends in the middle"),
    "another version": (
        directory().replace(b"archive-1", b"archive-2"),
        "holds `nix-archive-2(type` where `nix-archive-1(type` is expected",
    ),
    "nothing": (b"", "ends in the middle"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_what_would_leave_the_tree_or_say_it_twice(case):
    """Names that lead elsewhere, out of order or twice, words too long, unknown types and bad padding: each named."""
    archive, why = REFUSED[case]
    with pytest.raises(Malformed) as caught:
        read(archive)
    assert why in str(caught.value)


def test_contents_nobody_reads_are_passed_over():
    """Who takes the next entry without reading a file's contents gets the next entry."""
    stream = io.BytesIO(golden())
    assert [entry.path for entry in parse(stream.read)] == [entry.path for entry in TREE]


def test_a_large_file_is_never_held_whole():
    """Contents come in pieces of at most 256 KiB, however long the file is."""
    size = 1 << 20
    stream = io.BytesIO(b"".join(dump([Regular((), False, size, [bytes(size)])])))
    sizes = [len(chunk) for entry in parse(stream.read) for chunk in entry.chunks]
    assert sum(sizes) == size
    assert max(sizes) <= 1 << 18


UNWRITTEN = {
    "nothing": ([], "at least a root"),
    "no root": ([Directory((b"a",))], "the first entry of an archive must be its root"),
    "two roots": ([Directory(()), Directory(())], "does not follow"),
    "below a link": ([Symlink((), b"x"), Symlink((b"a",), b"x")], "does not follow"),
    "no parent": ([Directory(()), Symlink((b"a", b"b"), b"x")], "`a/b` does not follow"),
    "order": ([Directory(()), Symlink((b"b",), b"x"), Symlink((b"a",), b"x")], "`a` is out of order"),
    "two dots": ([Directory(()), Symlink((b"..",), b"x")], "`..` is not a name"),
    "empty target": ([Symlink((), b"")], "cannot be the target of a symbolic link"),
    "changed meanwhile": ([Regular((), False, 3, [b"ab"])], "has 2 bytes, but 3 were announced"),
}


@pytest.mark.parametrize("case", UNWRITTEN)
def test_writes_no_archive_that_it_would_refuse(case):
    """Entries out of place, names and targets that are refused on reading, and a file that changed are refused."""
    entries, why = UNWRITTEN[case]
    with pytest.raises(Malformed) as caught:
        b"".join(dump(entries))
    assert why in str(caught.value)


@pytest.mark.live("nix")
def test_nix_writes_and_restores_the_same_archive(tmp_path):
    """The installed Nix restores what we write, and dumps it to the same bytes."""
    if not shutil.which("nix-store"):
        pytest.skip("nix-store is not on PATH: install Debian's nix-bin")
    archive = b"".join(dump(TREE))
    subprocess.run(["nix-store", "--restore", tmp_path / "tree"], input=archive, check=True)
    assert subprocess.run(["nix-store", "--dump", tmp_path / "tree"], stdout=-1, check=True).stdout == archive
