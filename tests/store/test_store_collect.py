"""What a collection takes, what it leaves, and who it waits for."""

from __future__ import annotations

import itertools
import os
import signal

import pytest

from esker.errors import StoreError
from esker.host import files
from esker.progress import Silent
from esker.store import roots, temporary_roots
from esker.store.collect import Collected, collect
from esker.store.store import Store
from esker.store.verify import verify
from tests.support.children import Child, killed_at_each_step


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "root"), durable=False, clock=itertools.count(1000).__next__)


@pytest.fixture
def link(tmp_path):
    return str(tmp_path / "link")


def fill(directory, size=1 << 16):
    with open(f"{directory}/file", "xb") as file:
        file.write(bytes(size))


def path(store, name, references=()):
    return store.build(name, "", fill, references=references)


def on_disk(store):
    """Give what lies in the store: names without digests, and whole names of what has none."""
    return sorted(name[33:] if name[32:33] == "-" else name for name in os.listdir(store.directory))


def test_what_nothing_needs_is_deleted_and_counted(store, link):
    """A rooted path and what it needs stay; the rest goes, with its record, and the freed bytes are those on disk."""
    kept = path(store, "needed")
    roots.switch(store, link, path(store, "rooted", [kept]))
    dead = path(store, "dead")
    found = collect(store, live=())
    assert found.paths == (dead,)
    assert 1 << 16 <= found.freed < 1 << 17
    assert on_disk(store) == ["needed", "rooted"]
    assert store.paths() == sorted([kept, path(store, "rooted")])
    assert verify(store) == []


def test_progress_counts_each_path_once(store):
    """What is to be removed is announced by number: the dead paths, and what killed processes have left."""
    for name in ("one", "two"):
        path(store, name)
    os.mkdir(f"{store.directory}/.tmp-x")
    totals = []

    class Listener(Silent):
        def begin(self, title, *, total=None, unit=""):
            totals.append(total)

    collected = collect(store, live=(), progress=Listener())
    assert (len(collected.paths), collected.unfinished) == (2, 1)
    assert totals == [3]
    assert on_disk(store) == []


def test_a_store_that_cannot_be_looked_into_is_not_taken_for_an_empty_one(tmp_path):
    """A store that does not exist has nothing to delete; with something else in its place, nobody knows."""
    store = Store(str(tmp_path / "root"))
    assert collect(store) == Collected((), 0)
    (tmp_path / "root").write_text("")
    with pytest.raises(StoreError, match="not a directory"):
        collect(store)


def test_a_dry_run_says_the_same_and_takes_nothing(store, link):
    """What would go is listed with its size; paths, generations and left-overs are as before."""
    for name in ("one", "two"):
        roots.switch(store, link, path(store, name))
    os.mkdir(f"{store.directory}/.tmp-x")
    before = on_disk(store)
    found = collect(store, keep=1, live=(), dry_run=True)
    assert found == Collected((path(store, "one"),), store.record(path(store, "one")).nar_size, unfinished=1)
    assert on_disk(store) == before
    assert len(roots.generations(store, link)) == 2


@pytest.mark.parametrize(("keep", "left"), [(0, ["7"]), (1, ["7"]), (2, ["6", "7"]), (5, ["3", "4", "5", "6", "7"])])
def test_the_newest_generations_of_a_link_stay(store, link, keep, left):
    """As many as asked for stay rooted, the current one always, and the others can no longer be rolled back to."""
    for number in range(1, 8):
        roots.switch(store, link, path(store, str(number)))
    collect(store, keep=keep, live=())
    assert on_disk(store) == left
    assert [str(each.number) for each in roots.generations(store, link)] == left


def test_five_generations_stay_unless_said_otherwise(store, link):
    """Without a number the last five can be rolled back to."""
    for number in range(7):
        roots.switch(store, link, path(store, str(number)))
    collect(store, live=())
    assert on_disk(store) == ["2", "3", "4", "5", "6"]


def test_the_current_generation_stays_however_old_it_is(store, link):
    """After a rollback the link's own target is kept besides the newest."""
    for number in range(1, 5):
        roots.switch(store, link, path(store, str(number)))
    roots.rollback(store, link, 1)
    collect(store, keep=1, live=())
    assert on_disk(store) == ["1", "4"]
    assert os.readlink(link) == path(store, "1")


def test_numbers_are_never_used_again(store, link):
    """After a collection the next generation's number goes on from the newest."""
    for name in ("one", "two"):
        roots.switch(store, link, path(store, name))
    collect(store, keep=1, live=())
    roots.switch(store, link, path(store, "three"))
    assert [each.number for each in roots.generations(store, link)] == [2, 3]


def test_a_link_that_is_gone_keeps_nothing(store, link):
    """A deleted project's environments are collected, and its registration with them."""
    roots.switch(store, link, path(store, "rooted"))
    os.unlink(link)
    collect(store, live=())
    assert on_disk(store) == []
    assert os.listdir(f"{store.state}/gcroots") == []


def test_what_a_process_uses_stays_with_what_it_needs(store):
    """A path that only a process holds is kept, its references too; what a process names and is not there is no error."""
    needed = path(store, "needed")
    used = path(store, "used", [needed])
    collect(store, live={used, store.path("absent", "")})
    assert on_disk(store) == ["needed", "used"]


def test_processes_are_looked_at_unless_said_otherwise(store):
    """A child that stands in a path keeps it from being collected by that child."""
    target = path(store, "used")
    path(store, "dead")

    def stand():
        os.chdir(target)
        collect(store)

    Child(stand).result()
    assert on_disk(store) == ["used"]


def test_left_overs_go_and_what_is_somebody_elses_stays(store):
    """Temporary trees, trash, trees and files without record and locks go; names that are no store path stay."""
    path(store, "dead")
    orphan = store.path("no-record", "")
    for name in (orphan, f"{store.directory}/.tmp-x", f"{store.directory}/.trash-x", f"{store.directory}/lost+found"):
        os.mkdir(name)
        fill(name)
    os.mkdir(f"{store.state}/gcroots/temporary")
    for name in ("valid/.x.tmp", "gcroots/.x.tmp", "gcroots/temporary/.x.tmp"):
        files.write(f"{store.state}/{name}", b"")
    collect(store, live=())
    assert on_disk(store) == ["lost+found"]
    assert [os.listdir(f"{store.state}/{name}") for name in ("valid", "gcroots", "locks")] == [[], ["temporary"], []]
    assert os.listdir(f"{store.state}/gcroots/temporary") == []


def test_what_a_temporary_root_keeps_is_left_though_a_newer_profile_has_taken_its_place(store, link):
    """A service runs on from the profile that it was started from, whatever the link leads to since."""
    old = path(store, "old")
    roots.switch(store, link, old)
    assert temporary_roots.write(store.root, "x", [old], [(1, 1)])
    roots.switch(store, link, path(store, "new"))
    assert collect(store, keep=1, live=()).paths == ()
    temporary_roots.remove(store.root, "x")
    assert collect(store, keep=1, live=()).paths == (old,)


def test_a_store_that_is_not_there_is_empty(store):
    """Collecting what was never made frees nothing and makes nothing."""
    assert collect(store) == Collected((), 0)
    assert not os.path.exists(store.root)


def test_a_damaged_registration_stops_the_collection_before_anything_is_deleted(store, link):
    """Roots that cannot be read might keep anything."""
    roots.switch(store, link, path(store, "rooted"))
    path(store, "dead")
    [name] = os.listdir(f"{store.state}/gcroots")
    files.write(f"{store.state}/gcroots/{name}", b"{")
    with pytest.raises(StoreError, match="is damaged"):
        collect(store, live=())
    assert on_disk(store) == ["dead", "rooted"]


@pytest.mark.slow
def test_a_collection_killed_at_any_step_leaves_every_valid_path_whole(store, link):
    """After each kill what has a record is whole, what is rooted is there, and the next collection completes the work."""

    def prepare():
        for name in ("one", "two"):
            roots.switch(store, link, path(store, name, [path(store, "needed")]))
        path(store, "dead", [path(store, "dead-too")])

    prepare()
    collect(store, keep=1, live=())  # loads every module the steps need
    prepare()
    killed = 0
    for _ in killed_at_each_step(lambda: collect(store, keep=1, live=())):
        killed += 1
        assert verify(store) == []
        assert {path(store, "two"), path(store, "needed")} <= set(store.paths())
        assert collect(store, keep=1, live=()).freed >= 0
        assert on_disk(store) == ["needed", "two"]
        prepare()
    assert killed > 30


def test_a_collection_waits_for_who_uses_the_store_and_says_so(store, link):
    """A path between its record and its root is not taken: the collection begins when its user is done."""
    inside, entered = os.pipe()
    going, go = os.pipe()

    def use():
        with store.using():
            target = path(store, "fresh")
            os.write(entered, b"x")
            os.read(going, 1)
            roots.switch(store, link, target)

    child = Child(use)
    os.read(inside, 1)
    heard = []

    class Listener:
        def begin(self, title, *, total=None, unit=""):
            heard.append((title, total))
            if total is None:
                os.write(go, b"x")

        def advance(self, count=1):
            pass

        def end(self):
            pass

    assert collect(store, live=(), progress=Listener()).paths == ()
    child.result()
    assert heard == [("waiting until nobody uses the store", None), ("deleting what nothing needs", 0)]
    assert os.readlink(link) == path(store, "fresh")


def test_who_wants_a_path_while_trees_are_removed_does_not_wait_and_gets_it_whole(store):
    """The store is free again as soon as nothing dead can be found any more, before the room is given back."""
    dead = path(store, "dead")
    built = []

    class Listener:
        def begin(self, title, *, total=None, unit=""):
            built.append(path(store, "dead"))

        def advance(self, count=1):
            pass

        def end(self):
            pass

    assert collect(store, live=(), progress=Listener()).paths == (dead,)
    assert built == [dead]
    assert verify(store, [dead]) == []
    assert on_disk(store) == ["dead"]


@pytest.mark.slow
def test_collecting_and_realising_at_once_never_breaks_a_root(store, tmp_path):
    """Four processes realise and switch while one collects without pause: every link always leads to a whole path."""

    def work(number):
        link = str(tmp_path / f"link-{number}")
        for turn in range(15):
            with store.using():
                needed = path(store, f"needed-{turn % 3}")
                target = path(store, f"{number}-{turn % 3}", [needed])
                roots.switch(store, link, target)
            assert os.stat(f"{link}/file").st_size == 1 << 16
            assert store.closure([target]) == {needed, target}
            assert verify(store, [target, needed]) == []

    def collect_for_ever():
        while True:
            collect(store, keep=1, live=())

    path(store, "first")
    collector = Child(collect_for_ever)
    workers = [Child(lambda number=number: work(number)) for number in range(4)]
    for worker in workers:
        worker.result()
    collector.kill()
    assert collector.wait()[0] == -signal.SIGKILL
    collect(store, keep=1, live=())
    assert verify(store) == []
    assert len([name for name in on_disk(store) if not name.startswith("needed")]) == 4
