from __future__ import annotations

import os
import subprocess
import sys

import pytest

from esker.host import pidfd, process_id, process_table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.fixture
def child():
    """A process that reads its input and ends with it."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def test_a_pid_used_again_is_another_process(child):
    """A process is the same one only with its start time; a zombie has ended."""
    process = process_id.of(child.pid)
    assert process == (child.pid, process_table.entry(child.pid).start)
    assert process.lives
    assert not process._replace(start=process.start + 1).lives
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_table.entry(child.pid).ended
    assert not process.lives


def test_only_the_very_process_is_opened(child):
    """A descriptor is that of the process that began then, or none; it is closed with the block."""
    process = process_id.of(child.pid)
    assert process._replace(start=process.start + 1).open() is None
    with process.opened() as descriptor:
        assert not pidfd.wait(descriptor, 0)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_this_process_and_one_that_is_gone(child):
    """Of a process that has ended no start time is known, and it does not live."""
    assert process_id.own().pid == os.getpid()
    assert process_id.own().lives
    child.kill()
    child.wait()
    assert process_id.of(child.pid) == (child.pid, 0)
    assert not process_id.of(child.pid).lives


def test_a_boot_has_a_name():
    """It stays the same as long as the machine runs."""
    assert process_id.boot_id() == process_id.boot_id() != ""
