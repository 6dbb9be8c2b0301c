from __future__ import annotations

import os

import pytest

from esker.errors import HostError
from esker.host import background, files, pidfd, process_table


def report(path, text):
    """Write what this process is, for the test; what is written after the rename is never seen."""
    own = process_table.entry(os.getpid())
    found = f"{own.pid} {own.session} {sorted(os.listdir('/proc/self/fd'))} {os.getcwd()} {text}"
    with open(f"{path}.new", "w") as file:
        file.write(found)
    os.rename(f"{path}.new", path)
    os.read(os.open(f"{path}.end", os.O_RDONLY), 1)


@pytest.fixture
def told(tmp_path):
    """Give where a process reports; it ends with the test."""
    os.mkfifo(tmp_path / "told.end")
    return tmp_path / "told"


def ended(pid, path):
    """Let the process end, and return what it has reported."""
    with pidfd.opened(pid) as descriptor:
        with open(f"{path}.end", "w") as go:
            go.write("x")
        assert pidfd.wait(descriptor, 10)
    return path.read_text()


def test_the_work_goes_on_in_nobodys_child(told):
    """It leads a session, has nothing of ours open, stands where we stand, and our own process goes on."""
    reading, writing = os.pipe()
    try:
        os.set_inheritable(writing, True)
        pid = background.begin(lambda: report(told, "it's"))
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)
        # 0, 1, 2, and that of the directory itself
        assert ended(pid, told) == f"{pid} {pid} ['0', '1', '2', '3'] {os.getcwd()} it's"
    finally:
        os.close(reading)
        os.close(writing)


def test_what_fails_there_does_not_come_back_here(tmp_path):
    """An error in the work ends that process alone."""
    pid = background.begin(lambda: 1 / 0)
    assert pid != os.getpid()
    with pidfd.opened(pid) as descriptor:
        assert descriptor is None or pidfd.wait(descriptor, 10)


@pytest.mark.slow
def test_a_new_interpreter_does_the_work_too(tmp_path, monkeypatch):
    """Whatever threads this process has, whatever PYTHONPATH says, and whatever bytes its arguments are."""
    monkeypatch.setenv("PYTHONPATH", "/nonsense")
    pid = background.begin_anew(files.replace_link, {"path": str(tmp_path / "link"), "target": "é\udcff"})
    with pidfd.opened(pid) as descriptor:
        assert descriptor is None or pidfd.wait(descriptor, 10)
    assert os.readlink(tmp_path / "link") == "é\udcff"


def test_a_machine_without_room_says_so(monkeypatch):
    """No process more is an error of the machine."""

    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(HostError, match="cannot start a process: resource temporarily unavailable"):
        background.begin(lambda: None)
    assert set(os.listdir("/proc/self/fd")) == before
