"""Nix archives."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from esker.errors import Malformed
from esker.formats.nix.nar import Directory, Regular, Symlink, dump

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


def test_writes_what_nix_writes():
    """A tree with a file, a program, an empty file and a link is the archive that `nix-store --dump` made, byte for byte."""
    assert b"".join(dump(TREE)) == golden()


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
def test_writes_no_archive_that_nix_would_refuse(case):
    """Entries out of place, names and targets that would leave the tree, and a file that changed are refused."""
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
