from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from esker.errors import HostError
from esker.host.scratch import scratch

WAIT = """
import sys, time
from esker.host.scratch import scratch
with scratch("lock") as path:
    open(path + "/file", "w").close()
    print(path, flush=True)
    time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Give a directory for temporary files of its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def other():
    """Give the path of another process's directory, and a function that kills the process."""
    process = subprocess.Popen([sys.executable, "-c", WAIT], stdout=subprocess.PIPE, text=True)

    def kill(number=signal.SIGKILL):
        process.send_signal(number)
        process.wait()

    with process:
        yield process.stdout.readline().strip(), kill
        kill()


def test_it_is_ours_alone_and_gone_afterwards(temporary):
    """Only its owner can enter it, and it goes with what is in it, also after an error."""
    with scratch("lock") as path:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
        os.mkdir(f"{path}/sub")
    with pytest.raises(ZeroDivisionError), scratch("lock"):
        raise ZeroDivisionError
    assert os.listdir(os.path.dirname(path)) == []
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert os.path.dirname(os.path.dirname(path)) == str(temporary)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_what_a_killed_process_left_goes_with_the_next(other, number):
    """That of a process that lives stays."""
    left, kill = other
    with scratch("lock"):
        assert os.path.exists(f"{left}/file")
    kill(number)
    assert os.path.exists(f"{left}/file")
    with scratch("edit"):
        assert os.path.exists(f"{left}/file")  # it is of another kind
    with scratch("lock"):
        assert not os.path.exists(left)


def test_what_may_hold_a_persons_work_is_kept_for_a_while(other):
    """The text that was open in an editor when the terminal was closed is there the next day."""
    left, kill = other
    kill()
    with scratch("lock", kept=3600):
        assert os.path.exists(f"{left}/file")
    hours_ago = time.time() - 7200
    os.utime(left, (hours_ago, hours_ago))
    with scratch("lock", kept=3600):
        assert not os.path.exists(left)


def test_a_directory_that_its_process_removes_at_that_moment_is_no_error(temporary, monkeypatch):
    """Two commands run at once: one lists the directories, and the other removes its own before the first looks at it."""
    top = temporary / f"esker-scratch-{os.geteuid()}"
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listed(path), "lock-gone"] if path == str(top) else listed(path))
    with scratch("lock", kept=60) as path:
        assert listed(top) == [os.path.basename(path)]


def test_without_a_place_it_says_so(temporary, monkeypatch):
    """One that another user could write is refused, and so is one that cannot be written."""
    top = temporary / f"esker-scratch-{os.geteuid()}"
    top.mkdir()
    top.chmod(0o777)
    with pytest.raises(HostError) as caught, scratch("lock"):
        pass
    assert caught.value.hint == "set TMPDIR to a directory of yours"
    monkeypatch.setenv("TMPDIR", "/proc")
    with pytest.raises(HostError) as caught, scratch("lock"):
        pass
    assert caught.value.message == "temporary files cannot be written into `/proc`: no such file or directory"
    assert caught.value.hint == "make room there, or name another directory in TMPDIR, or unset it"


def test_without_a_place_of_its_own_tmp_is_named(monkeypatch):
    """A TMPDIR that is empty or relative is passed over, so a person is not told to unset it."""
    monkeypatch.setenv("TMPDIR", "here")
    monkeypatch.setattr(os, "mkdir", refused)
    with pytest.raises(HostError, match=r"^temporary files cannot be written into `/tmp`: ") as caught, scratch("lock"):
        pass
    assert caught.value.hint == "make room there, or name another directory in TMPDIR"


def refused(*_arguments, **_named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
