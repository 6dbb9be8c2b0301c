"""A supervisor that starts ahead is used if services start, and else nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from esker.errors import ServiceError, ServiceFailed
from esker.services.supervised import ahead as ahead_module
from esker.services.supervised.ahead import ahead
from esker.services.supervised.launch import launch
from esker.services.supervised.record_lock import RecordLock, record_path
from esker.services.supervised.site import COPIED
from tests.support.kills import kill_at_once

BEGIN = """
from esker.services.supervised import ahead as ahead_module
from esker.services.supervised.ahead import ahead
with ahead(services.site):
    print("begun", flush=True)
    sys.stdin.read()
    services.start()
print("started", flush=True)
"""


@pytest.fixture
def used(project):
    """A project in which services have run, and none run now."""
    project.declare("web")
    with project.services.lease():
        pass
    return project


@pytest.fixture
def begins(used, monkeypatch):
    """A function that says whether a supervisor begins ahead now."""
    begun = []
    monkeypatch.setattr(ahead_module, "launch", lambda *arguments: begun.append(launch(*arguments)) or begun[-1])

    def look():
        begun.clear()
        with ahead(used.site):
            return bool(begun)

    return look


def guardians(project):
    """The guardians of a project, by what they were started with; the supervisor is the child of one."""
    found = project.processes()
    pids = {entry.pid for entry in found}
    return [entry.pid for entry in found if entry.program == "esker-guardian" or entry.parent not in pids]


def test_services_start_in_the_supervisor_that_began_ahead(used):
    """The block adds nothing to what runs after a usual start."""
    with ahead(used.site):
        used.services.start()
        within = used.record.supervisor
    assert (used.record.supervisor, len(guardians(used))) == (within, 1)
    assert used.services.stop().stopped == ("web",)
    assert (used.processes(), used.leftovers()) == ([], [])


def test_it_really_begins_ahead(used):
    """Who asks for the services within the block finds a supervisor; nothing is left when nothing was started."""
    with ahead(used.site):
        assert [one.status for one in used.services.status()] == ["Stopped"]
        assert used.record.supervisor.lives
    assert (used.processes(), used.leftovers()) == ([], [])


def test_nothing_is_left_after_an_error(used):
    """The error goes on, and the block returns when guardian and supervisor have ended, even if at once."""
    with pytest.raises(KeyError), ahead(used.site):
        raise KeyError
    assert (used.processes(), used.leftovers()) == ([], [])


def test_nothing_is_left_after_a_failed_start(used):
    """A service that fails is stopped by the start itself; the supervisor has nothing left to do then."""
    used.declare("web", "exit 3", oneshot=True)
    with pytest.raises(ServiceFailed), ahead(used.site):
        used.services.start()
    assert (used.processes(), used.leftovers()) == ([], [])


@pytest.mark.parametrize("at", ["begun", "greeted"])
def test_the_command_is_killed_within_the_block(used, caller, at):
    """Kill -9, before the supervisor has greeted it or after: all ends, and the lock is free for the next start."""
    process = caller(BEGIN)
    assert process.stdout.readline() == "begun\n"
    if at == "greeted":
        assert used.services.status()[0].status == "Stopped"
        assert used.record.supervisor.lives
    process.kill()
    used.await_nothing(10)
    assert used.leftovers() == []
    with used.services.lease() as held:
        assert held.statuses[0].ready


def test_the_supervisor_is_gone_by_the_time_it_is_needed(used):
    """Killed, or ended because nothing was asked of it for long: the usual start begins another."""
    with ahead(used.site):
        used.services.status()
        kill_at_once(used.record.supervisor)
        used.await_nothing()
        used.services.start()
    assert len(guardians(used)) == 1
    assert used.services.stop().stopped == ("web",)


def test_two_commands_at_once_share_one_supervisor(used, caller):
    """The second finds the lock held, begins nothing, and waits for the first one's supervisor as any command does."""
    callers = [caller(BEGIN) for _ in range(2)]
    assert [process.stdout.readline() for process in callers] == ["begun\n"] * 2
    for process in callers:
        process.stdin.close()
    assert [process.stdout.readline() for process in callers] == ["started\n"] * 2
    assert len(guardians(used)) == 1
    used.services.stop()


def test_nothing_begins_where_services_have_never_run(project):
    """Not even a directory is made."""
    project.declare("web")
    with ahead(project.site):
        assert project.processes() == []
    assert os.listdir(project.dot_flox) == []


def test_nothing_begins_where_a_start_has_something_to_do_first(used, begins):
    """Data on their way, a supervisor that is recorded or has the socket, and another command that looks for one."""
    copied = f"{os.path.dirname(record_path(used.dot_flox))}/{COPIED}"
    os.mkdir(copied)
    assert not begins()
    os.rmdir(copied)
    os.mkdir(used.site.socket)
    assert not begins()
    os.rmdir(used.site.socket)
    lock = RecordLock(used.dot_flox)
    assert lock.try_acquire()
    assert not begins()
    os.pwrite(lock.descriptor, b"{", 0)
    lock.release()
    assert not begins()
    os.truncate(record_path(used.dot_flox), 0)
    assert begins()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_nothing_begins_in_a_project_of_another_user(used, begins):
    """Only the usual start, after the project is known to be trusted, works there."""
    for path in (record_path(used.dot_flox), used.dot_flox):
        os.chown(path, 1234, -1)
        assert not begins()
        os.chown(path, 0, -1)
    assert begins()


def test_what_hinders_the_supervisor_is_told_by_the_usual_start(used):
    """The start ahead says nothing; the other meets the same obstacle, and nothing is left."""
    os.makedirs(f"{used.directory}/run", exist_ok=True)
    with open(used.runtime, "w"):
        pass
    with pytest.raises(ServiceError, match="it is not a directory"), ahead(used.site):
        used.services.start()
    os.remove(used.runtime)
    assert (used.processes(), used.leftovers()) == ([], [])


def test_no_process_can_be_begun(used, monkeypatch):
    """The block runs all the same, and the lock is free."""

    def refuse(*_, **__):
        raise BlockingIOError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with ahead(used.site):
        lock = RecordLock(used.dot_flox)
        assert lock.try_acquire()
        lock.close()


def test_the_lock_goes_over_to_what_was_begun(used, monkeypatch):
    """Nobody else can look for a supervisor until the new one gives the lock up or ends."""
    begun = subprocess.Popen
    started = []

    def stay(*_, pass_fds, **__):
        started.append(begun(["sleep", "1000"], pass_fds=pass_fds))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", stay)
    lock = RecordLock(used.dot_flox)
    with ahead(used.site):
        assert not lock.try_acquire()
        started[0].kill()
        started[0].wait()
        assert lock.try_acquire()
        lock.close()


def test_the_guardian_keeps_the_lock_of_a_supervisor_that_never_greeted(used, caller):
    """Else another command could start one, whose socket and directory this guardian would then remove."""
    process = caller(
        """
import signal, socket
from esker.services.supervised import guardian, server
from esker.services.supervised.launch import launch
from esker.services.supervised.record_lock import RecordLock
lock, other = RecordLock(services.site.dot_flox), RecordLock(services.site.dot_flox)
assert lock.try_acquire()
server.main = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
guardian._put_in_order = lambda *_: print(other.try_acquire(), flush=True)
site, (ours, theirs) = services.site, socket.socketpair()
arguments = [site.socket, site.runtime, site.dot_flox, str(theirs.detach()), str(lock.descriptor)]
os.set_inheritable(1, True)
guardian.guard(arguments, {})
"""
    )
    assert process.stdout.read().splitlines()[-1:] == ["False"]


def test_the_block_is_interrupted_while_it_waits(used, caller):
    """A second Ctrl-C ends the command at once, and the supervisor ends all the same."""
    process = caller(BEGIN)
    process.stdout.readline()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    process.wait()
    used.await_nothing(10)
    assert used.leftovers() == []
