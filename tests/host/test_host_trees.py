"""Whole trees, on the real file system and as an ordinary user."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import resource
import stat
import subprocess
import tempfile
import threading
from hashlib import sha256

import pytest

from esker.formats.nix import nar
from esker.host import trees
from tests.support.children import Child

GOLDEN = pathlib.Path(__file__).parent.parent / "formats" / "nix" / "golden" / "tree.nar"


def as_nobody(function):
    """Run `function` in a child that has no rights beyond its own: root there becomes an ordinary user."""

    def run():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        return function()

    return Child(run).result()


@pytest.fixture
def shared():
    """Give a directory that every user may enter and write; pytest's own are closed to others."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="esker-shared-"))
    place.chmod(0o777)
    yield place
    trees.remove_tree(str(place))


def tree(path):
    """Make the tree of the golden archive."""
    (path / "sub").mkdir(parents=True)
    (path / "empty").touch(0o600)
    (path / "greeting").write_bytes(b"hello\n")
    (path / "run").write_bytes(b"#!/bin/sh\n")
    (path / "run").chmod(0o700)
    (path / "sub" / "link").symlink_to("../greeting")
    return path


def test_files_of_a_tree_of_any_depth_are_found_and_empty_directories_removed(tmp_path):
    """Links are files, wherever they lead; a directory that holds only empty ones is empty."""
    deep = tmp_path
    for _ in range(300):
        deep = deep / "d"
        deep.mkdir()
    (deep / "file").write_text("")
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    assert sorted(trees.files_below(str(tmp_path))) == ["d/" * 300 + "file", "link"]
    trees.remove_empty_directories(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "link"]
    assert (deep / "file").exists()


def test_a_canonical_tree_has_the_modes_and_times_of_a_store(tmp_path):
    """Files are 0444 or 0555 by their owner's x, directories 0555, and everything, links too, is of second 1."""
    top = tree(tmp_path / "tree")
    (top / "greeting").chmod(0o4674)
    (top / "run").chmod(0o711)
    before = os.lstat(tmp_path / "tree" / "greeting")
    trees.canonicalise(str(top))
    modes = {}
    for place in (top, *top.rglob("*")):
        found = place.lstat()
        assert found.st_mtime_ns == 10**9
        if not stat.S_ISLNK(found.st_mode):
            modes[str(place.relative_to(top))] = stat.S_IMODE(found.st_mode)
    assert modes == {".": 0o555, "empty": 0o444, "greeting": 0o444, "run": 0o555, "sub": 0o555}
    assert before.st_size == 6


def test_an_ordinary_user_can_make_canonical_and_remove_what_is_hard_to_enter(shared):
    """Directories without any right for their owner are opened first; a read-only tree is removed by its owner."""

    def run():
        top = tree(shared / "tree")
        (top / "sub").chmod(0)
        trees.canonicalise(str(top))
        trees.remove_tree(str(top))
        return os.listdir(shared)

    assert as_nobody(run) == "[]"


def test_a_file_with_a_second_name_is_refused_and_keeps_its_mode(tmp_path):
    """A hard link into a cache would have the cache's file changed."""
    (tmp_path / "cached").touch(0o640)
    (tmp_path / "tree").mkdir()
    os.link(tmp_path / "cached", tmp_path / "tree" / "file")
    with pytest.raises(OSError, match="several names"):
        trees.canonicalise(str(tmp_path / "tree"))
    assert stat.S_IMODE(os.stat(tmp_path / "cached").st_mode) == 0o640


def test_what_no_archive_holds_is_refused(tmp_path):
    """A pipe is refused by name, in canonicalising and in reading, where opening it would wait for ever."""
    (tmp_path / "tree").mkdir()
    os.mkfifo(tmp_path / "tree" / "pipe")
    for function in (trees.canonicalise, lambda path: list(trees.archive_entries(path))):
        with pytest.raises(OSError, match="only files, directories and links") as caught:
            function(str(tmp_path / "tree"))
        assert caught.value.filename == str(tmp_path / "tree" / "pipe")


def test_removing_follows_no_link_and_counts_what_it_freed(tmp_path):
    """What a link leads to stays; the blocks of the tree are counted, not those of a file that has another name."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_bytes(bytes(1 << 20))
    top = tmp_path / "tree"
    top.mkdir()
    (top / "link").symlink_to(kept)
    os.link(kept / "file", top / "second-name")
    (top / "own").write_bytes(bytes(1 << 16))
    assert 1 << 16 <= trees.remove_tree(str(top)) < 1 << 18
    assert os.listdir(tmp_path) == ["kept"]
    assert (kept / "file").stat().st_size == 1 << 20
    assert trees.remove_tree(str(top)) == 0


@pytest.mark.parametrize("call", ["stat", "lstat", "open", "chmod"])
def test_removing_is_not_led_away_by_a_link_that_takes_a_directory_s_place(tmp_path, monkeypatch, call):
    """Who owns a directory of the tree may exchange it at any step: what the link leads to stays, and its mode too."""
    kept = tmp_path / "kept"
    kept.mkdir(0o755)
    (kept / "file").touch()
    inner = tmp_path / "tree" / "inner"
    inner.mkdir(parents=True)
    inner.chmod(0o500)
    original = getattr(os, call)
    once = [inner]

    def exchanged(path, *arguments, **options):
        result = original(path, *arguments, **options)
        if os.path.basename(os.fsdecode(path)) == "inner" and once:
            once.pop()
            inner.rename(tmp_path / "tree" / "aside")
            inner.symlink_to(kept)
        return result

    monkeypatch.setattr(os, call, exchanged)
    with contextlib.suppress(OSError):
        trees.remove_tree(str(tmp_path / "tree"))
    monkeypatch.undo()
    assert (kept / "file").exists()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o755


def test_what_cannot_be_removed_is_named_by_its_path(tmp_path, monkeypatch):
    """Each step is taken from the directory before it, and the error still says where it was."""
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "file").touch()

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "no", "file")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refused)
        with pytest.raises(PermissionError) as caught:
            trees.remove_tree(str(tmp_path / "tree"))
    assert caught.value.filename == str(tmp_path / "tree" / "inner" / "file")


@pytest.fixture
def deep(tmp_path):
    """Give a tree of 3000 levels, each with a file, whose path no system call takes."""
    top = tmp_path / "deep"
    top.mkdir()
    directory = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=directory))
        os.mkdir("d", 0o500 if os.geteuid() == 0 else 0o700, dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)
    yield top
    subprocess.run(["rm", "-rf", top], check=True)


@pytest.mark.slow
def test_a_tree_of_any_depth_is_removed_with_few_open_files(deep):
    """It is deeper than Python calls functions, deeper than a path is long, and deeper than a process has files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        assert trees.remove_tree(str(deep)) > 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert not deep.exists()


@pytest.mark.slow
def test_a_tree_that_is_too_deep_to_be_copied_is_refused_in_words(deep, tmp_path):
    """A copy cannot move directories up as a removal does, so it has a limit, which it says."""
    directory, source = (os.open(path, os.O_RDONLY) for path in (tmp_path, deep))
    try:
        with pytest.raises(OSError, match="more than 100 levels deep are not copied"):
            trees.copy_tree(source, str(tmp_path / "copy"), directory=directory)
    finally:
        os.close(directory)
        os.close(source)
    trees.remove_tree(str(tmp_path / "copy"))


@pytest.fixture
def copied(tmp_path):
    """Give a function that copies the tree at `source` to `copy` and returns the copy."""
    (tmp_path / "source").mkdir()

    def copy(**how):
        directory, source = (os.open(path, os.O_RDONLY) for path in (tmp_path, tmp_path / "source"))
        try:
            trees.copy_tree(source, str(tmp_path / "copy"), directory=directory, **how)
        finally:
            os.close(directory)
            os.close(source)
        return tmp_path / "copy"

    return copy


@pytest.mark.parametrize("number", [None, errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_is_copied_whatever_the_kernel_can_do(copied, tmp_path, monkeypatch, number):
    """Where the kernel does not copy between two files, or stops half-way, we copy what is left."""
    content = os.urandom(2_500_000)
    (tmp_path / "source/file").write_bytes(content)
    (tmp_path / "source/empty").touch()
    within_kernel, calls = os.copy_file_range, []

    def stopping(source, target, _):
        calls.append(source)
        if len(calls) > 1:
            raise OSError(number, "no")
        return within_kernel(source, target, 1_000_000)

    def no_shared_blocks(*_):
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(trees.fcntl, "ioctl", no_shared_blocks)
    if number is not None:
        monkeypatch.setattr(os, "copy_file_range", stopping)
    copy = copied()
    assert (copy / "file").read_bytes() == content
    assert (copy / "empty").read_bytes() == b""
    assert (number is None) == (not calls)


def test_a_disk_that_is_full_is_told(copied, tmp_path, monkeypatch):
    """An error that is not about what the kernel can do is not taken for one."""
    (tmp_path / "source/file").write_bytes(b"content")

    def refused(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trees.fcntl, "ioctl", refused)
    monkeypatch.setattr(os, "copy_file_range", refused)
    with pytest.raises(OSError, match="No space left on device") as caught:
        copied()
    assert caught.value.filename == str(tmp_path / "copy/file")


def test_sockets_and_pipes_are_refused_or_left_out(copied, tmp_path):
    """They belong to a process; `names` says what is copied at all."""
    os.mkfifo(tmp_path / "source/pipe")
    for name in ("one", "two"):
        (tmp_path / f"source/{name}").touch()
    with pytest.raises(OSError, match="it is not a regular file"):
        copied()
    trees.remove_tree(str(tmp_path / "copy"))
    assert os.listdir(copied(without_sockets=True, names=["one", "pipe"])) == ["one"]


def test_a_tree_is_the_archive_that_nix_makes_of_it(tmp_path):
    """Reading a tree gives the golden archive, whatever its modes and times; a file or link alone is an archive too."""
    top = str(tree(tmp_path / "tree"))
    assert b"".join(nar.dump(trees.archive_entries(top))) == GOLDEN.read_bytes()
    trees.canonicalise(top)
    assert b"".join(nar.dump(trees.archive_entries(top))) == GOLDEN.read_bytes()
    assert list(trees.archive_entries(f"{top}/sub/link")) == [nar.Symlink((), b"../greeting")]
    assert next(iter(trees.archive_entries(f"{top}/run")))[:3] == ((), True, 10)


def test_entries_come_in_the_order_of_their_bytes(tmp_path):
    """`a-b` stands between `a` and what is below `a`, and names that are no text are read as they are."""
    top = os.fsencode(tmp_path / "tree")
    for name in (b"a/b", b"\xff/x", b"\xc3\xa9/x"):
        os.makedirs(os.path.join(top, name))
    for name in (b"a-b", b"B", b"a.c"):
        with open(os.path.join(top, name), "xb"):
            pass
    found = [b"/".join(entry.path) for entry in trees.archive_entries(os.fsdecode(top))]
    assert found == [b"", b"B", b"a", b"a/b", b"a-b", b"a.c", b"\xc3\xa9", b"\xc3\xa9/x", b"\xff", b"\xff/x"]


def test_large_files_are_read_in_pieces(tmp_path):
    """A file of 3 MiB and a byte comes in pieces of at most 1 MiB, and its descriptor is closed afterwards."""
    (tmp_path / "large").write_bytes(bytes(3 << 20) + b"x")
    before = os.listdir("/proc/self/fd")
    for entry in trees.archive_entries(str(tmp_path / "large")):
        sizes = [len(chunk) for chunk in entry.chunks]
    assert sizes == [1 << 20, 1 << 20, 1 << 20, 1]
    assert os.listdir("/proc/self/fd") == before


def test_a_digest_is_that_of_all_pieces_in_order():
    """Small and large pieces mixed have the hash of what they are together."""
    pieces = [b"a" * 10, b"b" * (1 << 20), b"", b"c", b"d" * (3 << 20), b"e"]
    whole = b"".join(pieces)
    assert trees.digest(iter(pieces)) == (sha256(whole).digest(), len(whole))
    assert trees.digest([]) == (sha256().digest(), 0)


def test_an_error_in_the_pieces_is_passed_on_and_no_thread_stays():
    """Who hashes a tree that cannot be read hears why."""

    def pieces():
        yield b"x" * (2 << 20)
        raise OSError(errno.EIO, "disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        trees.digest(pieces())
    assert threading.active_count() == 1
