"""Temporary roots: what they keep, for how long, and whose files they are."""

from __future__ import annotations

import json
import os
import stat

import pytest

from esker.errors import StoreError
from esker.store import roots, temporary_roots
from esker.store.collect import collect
from esker.store.store import Store
from tests.support.children import killed_at_each_step

GONE = [(1 << 22, 1)]


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "root"), durable=False)


@pytest.fixture
def target(store):
    """Give a path that nothing keeps."""
    return store.build("target", "", lambda directory: None)


def file_of(store, name="x"):
    return f"{store.state}/gcroots/temporary/{name}"


def change(store, **fields):
    """Change what the temporary root says."""
    with open(file_of(store), encoding="utf-8") as file:
        data = json.load(file)
    with open(file_of(store), "w", encoding="utf-8") as file:
        json.dump(data | fields, file)


def test_a_root_keeps_its_paths_until_it_is_removed(store, target):
    """It is closed to others, names who needs what, and may be written again with other paths."""
    other = store.build("other", "", lambda directory: None)
    assert temporary_roots.write(store.root, "x", [target, other], [(7, 70)])
    assert collect(store, live=()).paths == ()
    assert stat.S_IMODE(os.stat(file_of(store)).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(file_of(store))).st_mode) == 0o700
    with open(file_of(store), encoding="utf-8") as file:
        written = json.load(file)
    assert (written["paths"], written["processes"]) == (sorted([target, other]), [[7, 70]])
    assert temporary_roots.write(store.root, "x", [target], [(7, 70)])
    assert collect(store, live=()).paths == (other,)
    temporary_roots.remove(store.root, "x")
    assert collect(store, live=()).paths == (target,)
    assert os.listdir(os.path.dirname(file_of(store))) == []


def test_a_store_may_lie_where_a_name_is_not_utf_8(tmp_path):
    """A root that names such paths is read as any other."""
    store = Store(str(tmp_path / "\udcff" / "root"), durable=False)
    path = store.build("target", "", lambda directory: None)
    assert temporary_roots.write(store.root, "x", [path], [])
    assert collect(store, live=()).paths == ()
    temporary_roots.remove(store.root, "x")
    assert collect(store, live=()).paths == (path,)


def test_what_a_killed_holder_left_counts_until_it_is_removed(store, target):
    """The processes that are named have ended; what they started may run on as somebody whom we cannot see."""
    assert temporary_roots.write(store.root, "x", [target], GONE)
    assert roots.rooted(store, 5, remove_stale=True) == {target}


def test_a_root_of_another_boot_is_stale(store, target):
    """No service outlives the machine that ran it: nothing is kept, and a collection that is no dry run removes it."""
    assert temporary_roots.write(store.root, "x", [target], GONE)
    change(store, boot="another")
    assert collect(store, live=(), dry_run=True).paths == (target,)
    assert os.path.exists(file_of(store))
    assert collect(store, live=()).paths == (target,)
    assert not os.path.exists(file_of(store))


def test_a_root_of_another_host_counts(store, target):
    """On a file system that two machines share, each keeps what the other needs."""
    assert temporary_roots.write(store.root, "x", [target], GONE)
    change(store, host="another", boot="another")
    assert collect(store, live=()).paths == ()
    assert os.path.exists(file_of(store))


def test_paths_of_no_store_or_of_another_one_are_ignored(store, target):
    """What a root names is looked at as a name, and only a path of this store is kept by it."""
    named = ["", "..", "/elsewhere/store/x", f"{store.directory}/../x", "/nix/store/x", target]
    assert temporary_roots.write(store.root, "x", named, GONE)
    assert roots.rooted(store, 5, remove_stale=True) == {target}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "\0" * 64, "[" * 100_000, '{"host": 1}', '{"paths": 1}', '{"paths": [1]}', '{"boot": null}'],
    ids=["empty", "cut", "list", "nothing", "zeros", "deep", "host", "paths", "path", "boot"],
)
def test_a_damaged_root_stops_the_collection_with_its_name(store, target, text):
    """It might keep anything; nothing is deleted."""
    assert temporary_roots.write(store.root, "x", [], GONE)
    if text.startswith('{"'):
        change(store, **json.loads(text))
    else:
        with open(file_of(store), "w", encoding="utf-8") as file:
            file.write(text)
    with pytest.raises(StoreError) as caught:
        collect(store, live=())
    assert caught.value.message == f"the temporary root `{file_of(store)}` is damaged"
    assert file_of(store) in caught.value.hint
    assert store.is_valid(target)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_refused_instead_of_read(store, target, make):
    """A pipe would be waited for and a device never ends."""
    assert temporary_roots.write(store.root, "x", [target], GONE)
    make(file_of(store, "y"))
    with pytest.raises(StoreError, match=r"it is (not a regular file|a directory)"):
        collect(store, live=())
    assert store.is_valid(target)


def test_a_root_is_not_written_while_a_collection_holds_the_store(store, target):
    """The collection may have decided already; who uses the store otherwise is in nobody's way."""
    with store.alone():
        assert not temporary_roots.write(store.root, "x", [target], GONE)
        assert not os.path.exists(file_of(store))
    with store.using():
        assert temporary_roots.write(store.root, "x", [target], GONE)


def test_a_store_that_is_not_there_is_refused(store):
    """No store is made for a root, and where none is, there is nothing to remove."""
    with pytest.raises(StoreError, match="no such file or directory"):
        temporary_roots.write(store.root, "x", [], GONE)
    temporary_roots.remove(store.root, "x")
    assert not os.path.exists(store.root)


def test_a_writer_killed_at_any_step_leaves_the_old_root_or_the_new(store, target):
    """There is no moment without a root, and what is left beside it a collection takes."""
    assert temporary_roots.write(store.root, "x", [target], GONE)
    for _ in killed_at_each_step(lambda: temporary_roots.write(store.root, "x", [target], [(7, 70)])):
        assert collect(store, live=()).paths == ()
        assert os.listdir(os.path.dirname(file_of(store))) == ["x"]


def test_nothing_stays_of_a_root_whose_writer_was_killed_at_any_step(store, target):
    """Whoever ends what a killed holder left takes its root away, and what was not written to the end."""
    for _ in killed_at_each_step(lambda: temporary_roots.write(store.root, "x", [target], [(7, 70)])):
        temporary_roots.remove(store.root, "x")
        directory = os.path.dirname(file_of(store))
        assert not os.path.exists(directory) or os.listdir(directory) == []


@pytest.mark.parametrize("name", ["", ".", "../x", "../../valid", "a/b", "x\0"])
def test_only_a_plain_name_is_removed(store, target, name):
    """The name may come with a project: it cannot lead to another file."""
    assert temporary_roots.write(store.root, "x", [target], GONE)
    temporary_roots.remove(store.root, name)
    assert roots.rooted(store, 5, remove_stale=False) == {target}
    assert store.is_valid(target)


def test_nothing_is_removed_where_others_may_write(store, target, tmp_path):
    """The directory may come with a project too: a link, or one that others may change, is left alone."""
    assert temporary_roots.write(store.root, "x", [target], GONE)
    linked = tmp_path / "linked" / "var" / "esker" / "gcroots"
    linked.mkdir(parents=True)
    (linked / "temporary").symlink_to(os.path.dirname(file_of(store)))
    for place in (str(tmp_path / "linked"), "", "relative", "/nonsense\0"):
        temporary_roots.remove(place, "x")
    os.chmod(os.path.dirname(file_of(store)), 0o777)
    temporary_roots.remove(store.root, "x")
    assert os.path.exists(file_of(store))


def test_another_user_s_store_is_left_alone(store, target):
    """A root of a store that we may not write stays, without an error."""
    if os.geteuid() != 0:
        pytest.skip("only root makes a store of somebody else's")
    assert temporary_roots.write(store.root, "x", [target], GONE)
    os.chown(os.path.dirname(file_of(store)), 12345, 12345)
    temporary_roots.remove(store.root, "x")
    assert os.path.exists(file_of(store))
