"""Which blobs of images a collection takes, and which it leaves."""

from __future__ import annotations

import os
import threading
from hashlib import sha256

import pytest

from esker.errors import StoreError
from esker.store import image_blobs
from esker.store.collect import Collected, collect
from esker.store.store import Store

HOUR = 3600


class Clock:
    """A clock that a test sets."""

    now = 1_000_000.0

    def __call__(self):
        """Return the time."""
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    store = Store(str(tmp_path / "root"), durable=False, clock=clock)
    with store.using():
        return store


@pytest.fixture
def lock(tmp_path):
    """Give the path of a project's lock of the image, which is there."""
    path = tmp_path / "image.lock"
    path.write_text("")
    return str(path)


def blob(store, name, written=0.0, size=100):
    """Write a blob, and return its digest."""
    path = f"{image_blobs.directory(store.root)}/sha256/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as file:
        file.write(bytes(size))
    os.utime(path, (written, written))
    return f"sha256:{name}"


def test_a_blob_that_has_changed_is_found_and_deleted(store):
    """One that is being written is none yet, and what is as its name says stays."""
    good, bad = sha256(bytes(100)).hexdigest(), "0" * 64
    for name in (good, bad, ".new.tmp"):
        blob(store, name)
    [found] = image_blobs.damaged(store)
    assert found.path.endswith(bad)
    assert found.reason == f"its contents have changed: its digest is sha256:{good}"
    image_blobs.discard(store, [found.path, found.path])
    assert {os.path.basename(each.path) for each in image_blobs.blobs(store)} == {good, ".new.tmp"}
    assert image_blobs.damaged(store) == []


def test_a_blob_that_cannot_be_read_is_damaged(store):
    """Nobody can tell whether it is whole; a pipe in its place is not waited for."""
    blob(store, "1" * 64)
    place = f"{image_blobs.directory(store.root)}/sha256/{'0' * 64}"
    os.mkfifo(place)
    first, second = image_blobs.damaged(store)
    assert (first.path, first.reason) == (place, "it cannot be read: it is not a regular file")
    image_blobs.discard(store, [first.path, second.path])
    assert image_blobs.blobs(store) == []


def keep(store, lock, **images):
    with store.using():
        image_blobs.keep(store, lock, {platform: list(digests) for platform, digests in images.items()})


def left(store):
    return sorted(os.path.basename(each.path) for each in image_blobs.blobs(store))


def test_what_no_image_has_is_deleted_and_counted(store, lock):
    """The blobs of a project's image stay; a dry run says the same and takes nothing."""
    keep(store, lock, amd=[blob(store, "a"), blob(store, "b")])
    blob(store, "c", size=5)
    place = f"{image_blobs.directory(store.root)}/sha256"
    expected = Collected((), 5, (f"{place}/c",))
    assert collect(store, live=(), dry_run=True) == expected
    assert left(store) == ["a", "b", "c"]
    assert collect(store, live=()) == expected
    assert left(store) == ["a", "b"]


def test_a_project_may_lie_where_a_name_is_not_utf_8(store, tmp_path):
    """Its images are kept as those of any other, and do not keep anybody from collecting."""
    lock = tmp_path / "\udcff.lock"
    lock.write_text("")
    keep(store, str(lock), amd=[blob(store, "a")])
    blob(store, "b")
    collect(store, live=())
    assert left(store) == ["a"]


def test_an_image_that_another_one_replaced(store, lock, clock):
    """Its blobs stay for an hour, in which it may still be sent; those of another platform are not replaced."""
    keep(store, lock, amd=[blob(store, "a"), blob(store, "both")], arm=[blob(store, "c")])
    clock.now += 10
    keep(store, lock, amd=[blob(store, "d"), "sha256:both"])
    collect(store, live=())
    assert left(store) == ["a", "both", "c", "d"]
    clock.now += HOUR
    keep(store, lock, amd=["sha256:both", "sha256:d"])  # the same image, made once more
    collect(store, live=())
    assert left(store) == ["both", "c", "d"]


def test_a_project_that_is_gone(store, lock, clock):
    """Its image keeps nothing any more after an hour, and its root goes."""
    keep(store, lock, amd=[blob(store, "a")])
    os.unlink(lock)
    collect(store, live=())
    assert left(store) == ["a"]
    clock.now += HOUR + 1
    assert len(collect(store, live=(), dry_run=True).blobs) == 1
    assert os.listdir(f"{store.state}/{image_blobs.ROOTS}") != []
    collect(store, live=())
    assert left(store) == []
    assert os.listdir(f"{store.state}/{image_blobs.ROOTS}") == []


def test_what_is_young(store, clock):
    """A blob stays for an hour after it was written; what a killed process was writing stays for a day."""
    blob(store, "new", written=clock.now - HOUR + 1)
    blob(store, "old", written=clock.now - HOUR)
    blob(store, ".writing.tmp", written=clock.now - HOUR)
    blob(store, ".left.tmp", written=clock.now - 24 * HOUR)
    collect(store, live=())
    assert left(store) == [".writing.tmp", "new"]


def test_a_blob_that_a_layout_has_too(store, tmp_path):
    """Removing one of a file's names frees nothing."""
    blob(store, "a")
    os.link(f"{image_blobs.directory(store.root)}/sha256/a", tmp_path / "linked")
    assert collect(store, live=()).freed == 0
    assert left(store) == []


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"lock": "x"}', b'{"lock": "x", "images": [{"platform": 1}]}'])
def test_a_damaged_root_stops_the_collection(store, lock, content):
    """It might keep any blob, so nothing is deleted, and the error names the file."""
    keep(store, lock, amd=[blob(store, "a")])
    blob(store, "b")
    [name] = os.listdir(f"{store.state}/{image_blobs.ROOTS}")
    path = f"{store.state}/{image_blobs.ROOTS}/{name}"
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(StoreError, match="is damaged") as caught:
        collect(store, live=())
    assert path in caught.value.hint
    assert left(store) == ["a", "b"]


def test_the_root_is_private(store, lock):
    """Nobody else can read which projects there are, or change what is kept."""
    keep(store, lock, amd=[])
    above = f"{store.state}/{image_blobs.ROOTS}"
    [name] = os.listdir(above)
    assert (os.stat(above).st_mode & 0o777, os.stat(f"{above}/{name}").st_mode & 0o777) == (0o700, 0o600)


def test_an_image_that_is_being_made(store, lock, clock):
    """A collection waits until it has been made and is kept."""
    digest = blob(store, "a")
    making, made = threading.Event(), threading.Event()

    def make():
        with store.using():
            making.set()
            made.wait(10)
            image_blobs.keep(store, lock, {"amd": [digest]})

    thread = threading.Thread(target=make)
    thread.start()
    making.wait(10)

    class Listener:
        def begin(self, *_, **__):
            made.set()

        def advance(self, *_, **__):
            """Count nothing."""

        end = advance

    collect(store, live=(), progress=Listener())
    thread.join()
    assert left(store) == ["a"]
