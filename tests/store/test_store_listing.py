"""Listings: trees that are sealed and verified by the hashes of their files, which are known already."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from esker.errors import AlteredFile, RealisationFailed
from esker.store.listing import Entry, Listing, listing
from esker.store.store import Store
from esker.store.verify import verify


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "root"), durable=False)


def test_a_listing_stands_for_reading_the_tree(store):
    """A build that says what it has written is hashed by that, and `verify` finds every change of it."""

    def fill(directory):
        Path(directory, "bin").mkdir()
        program = Path(directory, "bin/program")
        program.write_text("one")
        program.chmod(0o755)
        Path(directory, "link").symlink_to("bin/program")
        return Listing({**listing(directory, {}).entries})

    with store.using():
        path = store.build("listed", "listed", fill)
        again = store.build("listed", "another", fill)
    info = store.record(path)
    assert info.nar_hash.startswith("files-sha256:")
    assert info.nar_size == 3
    assert store.record(again).nar_hash == info.nar_hash
    assert verify(store) == []
    program = Path(path, "bin/program")
    for change in (lambda: program.write_text("two"), lambda: program.chmod(0o444)):
        program.chmod(0o755)
        program.write_text("one")
        change()
        assert [damaged.path for damaged in verify(store)] == [path]


@pytest.mark.parametrize(
    "entries",
    [
        {"a": Entry("file", "0" * 64, 1)},
        {"a": Entry("file", "0" * 64, 3), "b": Entry("link", "a", 0)},
        {"a": Entry("program", "0" * 64, 3)},
        {"a": Entry("link", "b", 0)},
        {"b": Entry("file", "0" * 64, 3)},
        {},
    ],
    ids=str,
)
def test_a_listing_that_is_not_true(store, entries):
    """A tree with other names, kinds or sizes than its listing has is not registered."""

    def fill(directory):
        Path(directory, "a").write_text("one")
        return Listing(entries)

    with pytest.raises(AlteredFile), store.using():
        store.build("listed", "listed", fill)
    assert store.paths() == []


def test_a_listed_file_with_another_name(store, tmp_path):
    """A file that has other names is taken only if its mode and time need no change, which all names would see."""
    shared = tmp_path / "shared"
    shared.write_text("one")
    listed = Listing({"a": Entry("file", sha256(b"one").hexdigest(), 3)})

    def fill(directory):
        os.link(shared, f"{directory}/a")
        return listed

    with pytest.raises(AlteredFile), store.using():
        store.build("listed", "listed", fill)
    assert shared.stat().st_mode & 0o777 == 0o644
    shared.chmod(0o444)
    os.utime(shared, (1, 1))
    with store.using():
        store.build("listed", "listed", fill)
    assert verify(store) == []


def test_a_listed_link_into_the_store(store):
    """A link to another store path is refused without reading the tree, too."""

    def fill(directory):
        Path(directory, "link").symlink_to("../another-path")
        return Listing({"link": Entry("link", "../another-path", 0)})

    with pytest.raises(RealisationFailed, match="not among the references"), store.using():
        store.build("listed", "listed", fill)
