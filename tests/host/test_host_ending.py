"""A command's process ends at once: all that is registered for its end has run, and nothing is freed one by one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from esker.host.isolation import OPTIONS, SOURCE

pytestmark = pytest.mark.slow

HEAD = """\
import sys
sys.path.append(sys.argv[1])
class Freed:
    def __del__(self): print("freed", flush=True)
freed = Freed()
from esker.host import ending
ending.prepare()
import atexit, threading, time
atexit.register(print, "registered")
"""


def ended(text):
    """The status of a program that begins with HEAD, what it says, and the last line of its errors."""
    command = [sys.executable, f"{OPTIONS}c", HEAD + text, SOURCE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.split(), (done.stderr.splitlines() or [""])[-1]


def test_what_is_registered_runs_and_nothing_is_freed():
    """What was written is there too, and the status is the one that was said."""
    assert ended("sys.stdout.write('written ')\nsys.exit(ending.end_with(3))\n") == (3, ["written", "registered"], "")


def test_threads_are_waited_for():
    """A thread that is no daemon ends before the process, as always."""
    thread = "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
    assert ended(f"{thread}ending.end_with(0)\n") == (0, ["thread", "registered"], "")


def test_without_a_status_python_ends_as_always():
    """An error that nobody has caught keeps its status."""
    assert ended("raise KeyError('x')\n") == (1, ["registered", "freed"], "KeyError: 'x'")
    assert ended("sys.exit(4)\n") == (4, ["registered", "freed"], "")


def test_an_output_that_cannot_be_written_is_no_obstacle():
    """The command has said so before."""
    text = "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\nsys.stdout.write('lost')\nending.end_with(5)\n"
    assert ended(text) == (5, [], "")


def test_rattlers_threads_are_waited_for_where_python_ends_itself():
    """A command, which ends at once, does not wait for them."""
    text = (
        "from esker.host import rattler\n"
        "rattler.time.sleep = lambda seconds: print('waited')\n"
        "rattler.settled_at_exit()\n"
    )
    assert "waited" in ended(text)[1]
    assert ended(f"{text}ending.end_with(0)\n") == (0, ["registered"], "")
