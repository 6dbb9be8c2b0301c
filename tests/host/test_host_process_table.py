from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from esker.host import pidfd, prctl, process_table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.fixture
def child():
    """A process that reads its input and ends with it."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def test_entry_of_a_process_with_a_hostile_name(tmp_path):
    """A program called `x) S 1 (` is read as that program, not as fields."""
    program = tmp_path / "x) S 1 ("
    program.symlink_to("/bin/cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"ready")
        process.stdin.flush()
        process.stdout.read1()
        found = process_table.entry(process.pid)
        assert (found.program, found.parent, found.session) == ("x) S 1 (", os.getpid(), os.getsid(0))
        process.stdin.close()
    assert process_table.entry(process.pid) is None


def test_family():
    """Descendants are found below their roots, ancestors above a process, both by the parents' pids alone."""

    def of(pid, parent):
        return process_table.ProcessEntry(pid, parent, pid, pid, 1, "S", "x")

    processes = {found.pid: found for found in (of(1, 0), of(2, 1), of(3, 2), of(4, 2), of(5, 4), of(6, 1))}
    assert {found.pid for found in process_table.descendants([2], processes)} == {3, 4, 5}
    assert process_table.ancestors(5, processes) == [4, 2, 1]
    assert process_table.descendants([5], processes) == []


@pytest.mark.parametrize("listed", [True, False])
def test_family_of_this_process(listed, monkeypatch):
    """The processes below one are found by what the kernel lists for each, and without that by looking at all."""
    if not listed:
        monkeypatch.setattr(os.path, "exists", lambda path: False)
    script = "echo $$; sh -c 'echo $$; cat; true'; true"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        outer, inner = int(shell.stdout.readline()), int(shell.stdout.readline())
        found = list(process_table.family(os.getpid()))
        assert found.index(outer) < found.index(inner)
        assert outer not in process_table.family(outer)
        assert inner in process_table.family(outer)
        shell.stdin.close()
    assert not process_table.family(outer)


def test_environment_of_a_process():
    """The variables are those its program began with; of a process that is gone there are none."""
    with subprocess.Popen(
        ["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"A": "1=2", "B": ""}
    ) as process:
        process.stdin.write(b"ready")
        process.stdin.flush()
        process.stdout.read1()
        assert process_table.environment(process.pid) == {b"A": b"1=2", b"B": b""}
        process.stdin.close()
    assert process_table.environment(process.pid) == {}


def test_pidfd_of_the_right_process_only(child):
    """A descriptor is opened for the process that began then, or for none; its end can be waited for."""
    start = process_table.entry(child.pid).start
    with pidfd.opened(child.pid, start + 1) as descriptor:
        assert descriptor is None
    with pidfd.opened(child.pid, start) as descriptor:
        assert not pidfd.wait(descriptor, 0)
        pidfd.send(descriptor, signal.SIGKILL)
        assert pidfd.wait(descriptor, 10)
        child.wait()
        pidfd.send(descriptor, signal.SIGKILL)
    with pidfd.opened(child.pid, start) as descriptor:
        assert descriptor is None


def test_subreaper_adopts_orphans():
    """The orphan of a child becomes the child of the subreaper."""
    reading, writing = os.pipe()
    reaper = os.fork()
    if reaper == 0:
        prctl.become_subreaper()
        middle = os.fork()
        if middle == 0:
            orphan = os.fork()
            if orphan == 0:
                signal.pause()
            os.write(writing, f"{orphan}".encode())
            os._exit(0)
        os.waitpid(middle, 0)
        orphan = int(os.read(reading, 100))
        adopted = process_table.entry(orphan).parent == os.getpid()
        os.kill(orphan, signal.SIGKILL)
        os.waitpid(orphan, 0)
        os._exit(0 if adopted else 1)
    os.close(reading)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(reaper, 0)[1]) == 0
