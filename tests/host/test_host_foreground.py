"""A command in the foreground gets what is sent to its parent, ends with it, and its status comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from esker.errors import CommandFailed
from esker.host import pidfd
from esker.host.foreground import run_in_foreground

PARENT = """\
import os, sys
from esker.host.foreground import run_in_foreground
raise SystemExit(run_in_foreground(["sh", "-c", sys.argv[1]], dict(os.environ)))
"""


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", -15)])
def test_the_status_comes_back(script, status):
    """An exit status as it is, a signal as minus its number."""
    assert run_in_foreground(["sh", "-c", script], dict(os.environ)) == status


def test_a_missing_command_is_127():
    """Nothing is started for a name that PATH does not have."""
    with pytest.raises(CommandFailed, match="command not found") as caught:
        run_in_foreground(["no-such-command"], dict(os.environ))
    assert caught.value.exit_status == 127


def test_the_handlers_of_the_caller_come_back():
    """Afterwards an interrupt means what it meant before."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run_in_foreground(["true"], dict(os.environ))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_parent_reaches_the_command(number):
    """The command decides what a signal means; the parent outlives it."""
    script = f"trap 'echo got; exit 5' {number.name.removeprefix('SIG')}; echo ready; while :; do sleep 0.01; done"
    with started(script) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.send_signal(number)
        assert parent.communicate(timeout=20)[0] == "got\n"
        assert parent.returncode == 5


def test_an_interrupt_of_the_terminal_does_not_end_the_parent():
    """Ctrl-C reaches the whole group: the command's own answer is the one that counts."""
    script = "trap 'echo got; exit 6' INT; echo ready; while :; do sleep 0.01; done"
    with started(script, process_group=0) as parent:
        assert parent.stdout.readline() == "ready\n"
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.communicate(timeout=20)[0] == "got\n"
        assert parent.returncode == 6


def test_a_killed_parent_takes_the_command_with_it():
    """After kill -9 of the parent the command does not run on."""
    with started("trap '' TERM; echo $$; while :; do sleep 0.01; done") as parent:
        child = int(parent.stdout.readline())
        with pidfd.opened(child) as descriptor:
            parent.kill()
            assert pidfd.wait(descriptor, 20)


def started(script, **options):
    """Return a process that runs a script in its foreground."""
    return subprocess.Popen([sys.executable, "-c", PARENT, script], stdout=subprocess.PIPE, text=True, **options)
