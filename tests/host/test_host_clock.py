from __future__ import annotations

import os
import re
import sys
import threading

import pytest

from esker.errors import TimedOut
from esker.host import pidfd
from esker.host.clock import Abandoned, Abandonment, Deadline, timestamp
from esker.host.process import run


def test_without_a_limit():
    """A wait without a limit waits as long as it likes between two looks."""
    deadline = Deadline()
    assert (deadline.left(), deadline.step(), deadline.step(2.0), deadline.passed) == (None, None, 2.0, False)


def test_with_a_limit():
    """A step is never longer than what is left, and at the end nothing is."""
    deadline = Deadline(100)
    assert 99 < deadline.step() <= 100
    assert deadline.step(2.0) == 2.0
    over = Deadline(0)
    assert (over.left(), over.step(2.0), over.passed) == (0, 0, True)


def test_given_up():
    """Whoever waits looks often whether that is still wanted, and learns it when it is not."""
    abandoned = Abandonment()
    deadline = Deadline(None, abandoned)
    assert 0 < deadline.step() < 0.1
    assert 0 < deadline.step(10) < 0.1
    abandoned.set()
    for wait in (deadline.step, lambda: deadline.pause(10)):
        with pytest.raises(Abandoned):
            wait()


def test_the_time_is_utc():
    """The form is the one that Angreal writes."""
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", timestamp())


def test_a_program_that_nobody_waits_for_any_more_is_killed(tmp_path):
    """With its children, and what it was given on its input arrives before."""
    started, abandoned = tmp_path / "started", Abandonment()
    os.mkfifo(started)

    def give_up():
        started.read_text()
        abandoned.set()

    thread = threading.Thread(target=give_up)
    thread.start()
    script = f"read line; (sleep 600; echo $line) & echo $! > {tmp_path}/pid; echo $line > {started}; wait"
    with pytest.raises(Abandoned):
        run(["sh", "-c", script], environ=os.environ, stdin="given\n", timeout=Deadline(600, abandoned))
    thread.join()
    with pidfd.opened(int((tmp_path / "pid").read_text())) as descriptor:
        assert descriptor is None or pidfd.wait(descriptor, 10)


def test_a_program_that_takes_longer_than_its_deadline():
    """The message names the whole limit."""
    with pytest.raises(TimedOut, match=r"`sleep` did not end within 0\.01 s"):
        run(["sleep", "600"], environ=os.environ, timeout=Deadline(0.01, Abandonment()))


def test_a_deadline_without_a_limit_is_none():
    """The program stays in our process group, where it may read from the terminal."""
    for timeout, same in ((None, True), (Deadline(), True), (60, False)):
        done = run([sys.executable, "-c", "import os; print(os.getpgrp())"], environ=os.environ, timeout=timeout)
        assert (int(done.stdout) == os.getpgrp()) is same
