"""Durable writes and locks, on the real file system and in processes that are killed."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import stat
from functools import partial

import pytest

from esker.errors import HostError, InvalidLock, StoreError
from esker.host import files
from tests.support.children import Child, killed_at_each_step, steps


def content(path):
    with open(path, "rb") as file:
        return file.read()


# Writing


def test_a_written_file_has_its_contents_and_mode(tmp_path):
    """The file holds the data, is readable by its owner alone unless said otherwise, and nothing lies beside it."""
    files.write(str(tmp_path / "state"), b"one")
    files.write(str(tmp_path / "state"), b"two")
    assert content(tmp_path / "state") == b"two"
    assert stat.S_IMODE(os.stat(tmp_path / "state").st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state"]


def test_a_writer_killed_at_any_step_leaves_the_old_contents_or_the_new(tmp_path):
    """There is no moment in which a reader finds half a file."""
    path = str(tmp_path / "state")
    files.write(path, b"old")
    seen = set()
    for _ in killed_at_each_step(lambda: files.write(path, b"new")):
        seen.add(content(path))
    assert seen == {b"old"}
    assert content(path) == b"new"
    assert os.listdir(tmp_path) == ["state"]  # what was left beside it went with the next write


def test_writers_at_the_same_moment_are_in_nobodys_way(tmp_path):
    """Each of them replaces the whole file, and nothing is left beside it."""
    path = str(tmp_path / "state")
    writers = [Child(partial(write_often, path, bytes([65 + number]) * 5000)) for number in range(4)]
    for writer in writers:
        writer.result()
    found = content(path)
    assert (len(found), len(set(found))) == (5000, 1)
    assert os.listdir(tmp_path) == ["state"]


def write_often(path, data):
    for _ in range(50):
        files.write(path, data)
        assert len(set(content(path))) == 1


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_what_somebody_put_beside_a_file_is_not_written(tmp_path, make):
    """A link with the name of the temporary file leads to another file, which stays as it was."""
    (tmp_path / "other").write_text("theirs")
    make(tmp_path / "other", tmp_path / ".state.tmp")
    files.write(str(tmp_path / "state"), b"ours")
    assert (tmp_path / "other").read_text() == "theirs"
    assert content(tmp_path / "state") == b"ours"


def test_a_write_that_fails_leaves_the_old_contents_and_nothing_beside(tmp_path):
    """Where a file may grow to 4 bytes only, the error says so and what to do, and nothing has changed."""
    path = str(tmp_path / "state")
    files.write(path, b"old")

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
        files.write(path, b"much too long")

    status, text = Child(limited).wait()
    assert status == 1
    assert text == (
        f"HostError: cannot write `{path}`: file too large\nhint: raise the limit on the size of a file (`ulimit -f`)"
    )
    assert content(path) == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_equal_contents_are_not_written(tmp_path):
    """A file that holds the data already is only read; one that holds more or less is replaced."""
    path = str(tmp_path / "lock")
    assert files.write_changed(path, b"data")
    assert all(step.startswith("open") for step in steps(lambda: files.write_changed(path, b"data")))
    assert not files.write_changed(path, b"data")
    assert files.write_changed(path, b"dat")
    assert files.write_changed(path, b"data")
    assert content(path) == b"data"


def test_a_link_is_replaced_without_a_moment_without_one(tmp_path):
    """Killed at any step, the link is the old one or the new one."""
    link = str(tmp_path / "link")
    files.replace_link(link, "old")
    for _ in killed_at_each_step(lambda: files.replace_link(link, "new")):
        assert os.readlink(link) == "old"
    assert os.readlink(link) == "new"
    assert os.listdir(tmp_path) == ["link"]


# Refusals


def refusal(number, path, **more):
    with pytest.raises(HostError) as caught, files.refused("write", path, **more):
        raise OSError(number, os.strerror(number))
    return caught.value


def test_a_full_disk_is_said_with_its_free_space(tmp_path):
    """The message tells how much is free where the path would lie, though it is not there yet."""
    error = refusal(errno.ENOSPC, str(tmp_path / "not" / "there"), remedy="empty the bin")
    free = files.free_space(str(tmp_path)) / 1e9
    assert error.message.startswith(f"cannot write `{tmp_path}/not/there`: no space left on device, ")
    assert float(error.message.split()[-4]) / 1e3 == pytest.approx(free, rel=0.2)
    assert error.hint == "make room on that disk; empty the bin"


def test_a_lack_of_rights_is_said_with_both_users(tmp_path):
    """The hint names the nearest place that exists, its owner, and who asks."""
    error = refusal(errno.EACCES, str(tmp_path / "not" / "there"))
    me = os.geteuid()
    assert error.message == f"cannot write `{tmp_path}/not/there`: permission denied"
    assert error.hint == f"`{tmp_path}` belongs to uid {me}, and this process runs as uid {me}"


def test_a_read_only_file_system_is_said():
    """The hint is not about rights then."""
    assert (
        refusal(errno.EROFS, "/nowhere").hint
        == "that file system is mounted read-only: mount it writable, or work elsewhere"
    )


def test_a_path_that_is_too_long_is_said(tmp_path):
    """How long it may be is told, since no place is at fault."""
    with pytest.raises(HostError) as caught:
        files.read(f"{tmp_path}/{'x' * 5000}")
    assert caught.value.hint.startswith("choose a shorter path")


def test_other_refusals_have_no_invented_remedy():
    """What Esker has no advice for is passed on in the machine's words, and names the file that it was."""
    with pytest.raises(StoreError) as caught, files.refused("collect", "/s", StoreError, remedy="collect garbage"):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/s/a")
    assert caught.value.lines() == ["cannot collect `/s`: too many levels of symbolic links (`/s/a`)"]


def test_a_mode_that_shuts_its_owner_out_is_said_with_the_way_out(tmp_path):
    """Where the owner asks and the mode alone refuses, it is told, and how to change it."""
    (tmp_path / "shut").mkdir(mode=0o500)
    told = refusal(errno.EACCES, str(tmp_path / "shut/new")).hint
    assert told == f"`{tmp_path}/shut` is yours, and its mode is 0500: chmod u+rwX {tmp_path}/shut"
    (tmp_path / "a file").touch(mode=0o400)
    told = refusal(errno.EACCES, str(tmp_path / "a file")).hint
    assert told == f"`{tmp_path}/a file` is yours, and its mode is 0400: chmod u+rwX '{tmp_path}/a file'"


def test_a_link_that_leads_nowhere_is_said_with_its_target(tmp_path):
    """A file that is there and cannot be opened is a link to nothing or to itself: what it says is told."""
    for name, target in (("loop", "loop"), ("dangling", "nothing")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(HostError) as caught:
            files.read(str(tmp_path / name))
        assert caught.value.hint == f"`{tmp_path}/{name}` is a link to `{target}`: put the file itself there"


# Reading


def test_a_file_is_read_whole(tmp_path):
    """Also through a link, and where the system knows no size."""
    (tmp_path / "file").write_bytes(b"\xff\r\n")
    (tmp_path / "link").symlink_to("file")
    assert files.read(str(tmp_path / "link"), limit=3) == b"\xff\r\n"
    assert files.read("/proc/self/status").startswith(b"Name:")


def test_what_is_no_file_is_refused_instead_of_waited_for(tmp_path):
    """A pipe has no writer, a device no end, a directory and a socket no contents."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(HostError) as caught:
            files.read(str(tmp_path / name))
        assert caught.value.message == f"cannot read `{tmp_path}/{name}`: it is not a regular file"
        assert caught.value.hint == "put a plain file in its place"
    with pytest.raises(HostError) as caught:
        files.read(str(tmp_path / "directory"))
    assert caught.value.message == f"cannot read `{tmp_path}/directory`: it is a directory"
    assert caught.value.hint == "give the path of a file"  # nobody is told to replace it


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    """However large it is, no more than the limit is held in memory."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(HostError, match="has more than 2,048 KiB"):
        files.read(str(tmp_path / "large"), limit=2 << 20)


def test_a_text_that_is_not_utf8_is_told_with_its_line(tmp_path):
    """As a problem of the file's own kind."""
    (tmp_path / "text").write_bytes("né\n".encode() + b"caf\xe9\n")
    with pytest.raises(InvalidLock) as caught:
        files.read_text(str(tmp_path / "text"), InvalidLock)
    assert caught.value.lines() == [f"{tmp_path}/text:2: the file is not UTF-8", "hint: save it as UTF-8"]


# Locks


def test_a_lock_excludes_other_processes_and_says_that_it_waits(tmp_path):
    """Who comes second is told once, waits, and goes on when the first is gone, killed or not."""
    path = str(tmp_path / "lock")
    inside, entered = os.pipe()

    def hold():
        with files.locked(path):
            os.write(entered, b"x")
            signal.pause()

    child = Child(hold)
    os.read(inside, 1)
    waited = []

    def waiting():
        waited.append(True)
        child.kill()

    with files.locked(path, waiting=waiting):
        assert waited == [True]
    assert child.wait()[0] == -signal.SIGKILL
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_shared_locks_exclude_only_the_other_kind(tmp_path):
    """Any number may share; who wants it alone waits for them."""
    path = str(tmp_path / "lock")
    with files.locked(path, shared=True), files.locked(path, shared=True):
        alone = Child(lambda: locked_alone(path))
        assert alone.result() == "had to wait"
    assert Child(lambda: locked_alone(path)).result() == "got it"


def locked_alone(path):
    def waiting():
        raise InterruptedError

    try:
        with files.locked(path, waiting=waiting):
            return "got it"
    except HostError:
        return "had to wait"


def test_a_lock_ends_with_its_holder_though_a_program_it_started_runs_on(tmp_path):
    """A program that a build started does not keep the build's lock."""
    path = str(tmp_path / "lock")

    def hold():
        with files.locked(path):
            return os.posix_spawnp("sleep", ["sleep", "60"], os.environ)

    started = int(Child(hold).result())
    try:
        assert Child(lambda: locked_alone(path)).result() == "got it"
    finally:
        os.kill(started, signal.SIGKILL)


@pytest.mark.parametrize("shared", [True, False])
def test_a_lock_asks_for_what_a_network_file_system_gives(tmp_path, monkeypatch, shared):
    """On NFS a lock held alone needs a file that is open for writing, a shared one a file open for reading."""
    needed = {fcntl.LOCK_SH: (os.O_RDONLY, os.O_RDWR), fcntl.LOCK_EX: (os.O_WRONLY, os.O_RDWR)}
    asked = []

    def flock(descriptor, kind):
        asked.append(kind & ~fcntl.LOCK_NB)
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE not in needed[asked[-1]]:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with files.locked(str(tmp_path / "lock"), shared=shared):
        assert asked == [fcntl.LOCK_SH if shared else fcntl.LOCK_EX]


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    """With what to do, since nothing is wrong with the path."""

    def flock(descriptor, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with pytest.raises(HostError, match="no locks available") as caught, files.locked(str(tmp_path / "lock")):
        pytest.fail("it was locked")
    assert "lock service" in caught.value.hint


def test_a_link_is_no_lock_file(tmp_path):
    """Where somebody put a link, nothing is made at its other end."""
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(HostError, match="cannot lock"), files.locked(str(tmp_path / "lock")):
        pass
    assert os.listdir(tmp_path) == ["lock"]


# Directories and file systems


def test_directories_are_closed_to_the_writing_of_others_whatever_the_umask(tmp_path):
    """What is missing above a directory is made too, never as wide as an umask of 0 would let it be."""
    umask = os.umask(0)
    try:
        files.make_directory(str(tmp_path / "a" / "b" / "c"))
        files.make_directory(str(tmp_path / "a" / "b" / "c"))
    finally:
        os.umask(umask)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o755, 0o700]
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        files.make_directory(str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError):
        files.make_directory(str(tmp_path / "file" / "below"))


def test_flushing_a_file_system_says_when_it_cannot(tmp_path):
    """A directory's file system is flushed; where there is none, that is an error."""
    files.sync_file_system(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        files.sync_file_system(str(tmp_path / "not-there"))
