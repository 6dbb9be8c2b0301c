"""Kill -9 of anybody, at every phase: nothing is left, and the next start works."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import replace

import pytest

from esker.errors import ServiceError, SupervisorEnded
from esker.host import pidfd, process_table
from esker.services.specification import CheckSpec
from esker.services.supervised import protocol
from esker.services.supervised.connection import Connection
from esker.services.supervised.rendezvous import connect
from esker.services.supervised.supervisor_record import RecordFile
from tests.support.kills import kill_at_once

HOLD = """
def show(one): print(one.name, one.status, one.health, flush=True)
with services.lease(changed=show):
    print("ready", flush=True)
    sys.stdin.read()
"""
GENTLE = "(setsid sleep 1000 &); exec sleep 1000"
STUBBORN = "trap '' TERM; (setsid sh -c \"trap '' TERM; sleep 1000\" &); while :; do sleep 1000; done"


class Phases:
    """Services whose start can be held at each step, and a process that starts them and holds a lease."""

    names = ("completing", "checking", "ready", "stopping")

    def __init__(self, project, caller, phase):
        self.gate = f"{project.directory}/gate"
        os.mkfifo(self.gate)
        os.chmod(self.gate, 0o666)
        self.flag = f"{project.directory}/flag"
        check = CheckSpec(form="shell", target=(f"test -e {self.flag}",), start_interval=0.01)
        project.declare("job", f"read line < {self.gate}", oneshot=True)
        project.declare(
            "web",
            GENTLE if phase == "checking" else STUBBORN,
            check=check,
            stop_grace_period=1.0,
            depends_on={"job": "service_completed_successfully"},
        )
        self.project = project
        self.process = caller(HOLD)

    def reach(self, phase):
        """Let the start go on until it is in `phase`, and stay there."""
        self._read("job Running None")
        if phase == "completing":
            return
        with open(self.gate, "w") as gate:
            gate.write("go\n")
        self._read("web Running starting")
        if phase == "checking":
            return
        open(self.flag, "w").close()
        self._read("ready")
        if phase == "ready":
            return
        self.process.stdin.close()
        next(one for one in self.project.services.changes() if (one.name, one.status) == ("web", "Terminating"))

    def _read(self, wanted):
        for line in self.process.stdout:
            if line.strip() == wanted:
                return
        raise AssertionError(self.process.stderr.read())


@pytest.fixture
def phases(project, caller, phase):
    """The phases of one start."""
    return Phases(project, caller, phase)


def works(project):
    """The next start works, as if nothing had been."""
    project.specs.clear()
    project.declare("next", "echo up; exec sleep 1000")
    with project.services.lease() as held:
        assert held.statuses[0].ready
    assert project.processes() == []


@pytest.mark.slow
@pytest.mark.parametrize("phase", Phases.names)
@pytest.mark.parametrize("victim", ["caller", "supervisor", "guardian"])
def test_one_is_killed(project, phases, victim, phase):
    """Kill -9 of the caller, the supervisor or the guardian: within ten seconds no process, socket or file is left."""
    phases.reach(phase)
    record = project.record
    pid = {"caller": phases.process.pid, "supervisor": record.supervisor[0], "guardian": record.guardian[0]}[victim]
    os.kill(pid, signal.SIGKILL)
    project.await_nothing(10)
    assert [path for path in project.leftovers() if path.endswith(".sock")] == []
    works(project)


@pytest.mark.slow
@pytest.mark.parametrize("phase", Phases.names)
def test_supervisor_and_guardian_are_killed_at_once(project, phases, phase):
    """The next command ends what they left first, double forks included, and then does its work."""
    phases.reach(phase)
    kill_at_once(project.record.guardian, project.record.supervisor)
    before = {found.pid for found in project.processes()}
    works(project)
    assert not before & {found.pid for found in project.processes()}


def test_status_says_that_the_supervisor_was_killed(project):
    """Otherwise the services would seem never to have been started; the next start ends the matter."""
    project.declare("web")
    project.services.start()
    kill_at_once(project.record.supervisor)
    project.await_nothing(10)
    (status,) = project.services.status()
    said = "the supervisor of the services was killed by SIGKILL, and the services with it"
    assert (status.status, status.note) == ("Stopped", said)
    with project.services.lease():
        pass
    assert project.services.status()[0].note is None


def test_status_says_that_supervisor_and_guardian_were_killed(project):
    """The next command finds it out, and every later one says it as well."""
    project.declare("web")
    project.services.start()
    kill_at_once(project.record.guardian, project.record.supervisor)
    said = "the supervisor of the services was killed together with its guardian, and the services with it"
    assert [project.services.status()[0].note for _ in range(2)] == [said, said]
    with project.services.lease():
        pass
    assert project.services.status()[0].note is None


@pytest.mark.slow
def test_the_guardian_of_a_killed_supervisor_is_not_said_to_be_killed(project):
    """A command that comes while the guardian cleans up waits for it, and says what the guardian says."""
    slow = "(trap 'sleep 0.5; exit' TERM; echo up; while :; do sleep 0.02; done) & wait"
    project.declare("web", slow, check=CheckSpec(form="log", target=("up",)))
    project.services.start()
    kill_at_once(project.record.supervisor)
    assert project.processes() != []
    said = "the supervisor of the services was killed by SIGKILL, and the services with it"
    assert [project.services.status()[0].note for _ in range(2)] == [said, said]
    assert project.processes() == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["start", "status"])
def test_a_command_that_comes_while_the_supervisor_ends(project, command):
    """It waits for that end, of which nobody was killed; a start then begins a new supervisor, whose services stay."""
    check = CheckSpec(form="log", target=("up",))
    project.declare("web", "trap 'sleep 0.5; exit' TERM; echo up; while :; do sleep 0.02; done", check=check)
    project.services.start()
    supervisor = project.record.supervisor
    changes = project.services.changes()
    next(changes)
    os.kill(supervisor.pid, signal.SIGTERM)
    next(one for one in changes if one.status == "Terminating")
    if command == "start":
        (started,) = project.services.start()
        assert project.record.supervisor != supervisor
        assert process_table.entry(started.pid) is not None
    (status,) = project.services.status()
    assert (status.status, status.note) == ("Running" if command == "start" else "Stopped", None)
    changes.close()
    project.services.stop()


@pytest.mark.parametrize("victim", ["supervisor", "guardian"])
def test_a_supervisor_that_is_told_to_end_was_not_killed(project, victim):
    """An orderly end leaves nothing to say."""
    project.declare("web")
    project.services.start()
    process = pidfd.open_process(*project.record.guardian)
    os.kill(getattr(project.record, victim).pid, signal.SIGTERM)
    assert pidfd.wait(process, 10)
    os.close(process)
    assert project.services.status()[0].note is None


def test_the_caller_hears_that_the_supervisor_was_killed(project, caller):
    """A start whose supervisor is killed is an error that says so, not a wait for ever."""
    project.declare("web", check=CheckSpec(form="log", target=("never",)))
    process = caller("services.start(changed=lambda one: print(one.status, flush=True))")
    process.stdout.readline()
    os.kill(project.record.supervisor[0], signal.SIGKILL)
    _, said = process.communicate(timeout=15)
    assert "ServiceError: the supervisor of the services was killed" in said
    project.await_nothing()


def test_the_caller_hears_that_the_supervisor_was_told_to_end(project, caller):
    """A start that is under way when the supervisor gets SIGTERM is an error, once all has stopped."""
    project.declare("web", check=CheckSpec(form="log", target=("never",)))
    process = caller("services.start(changed=lambda one: print(one.status, flush=True))")
    process.stdout.readline()
    os.kill(project.record.supervisor[0], signal.SIGTERM)
    _, said = process.communicate(timeout=15)
    assert "SupervisorEnded: the supervisor of the services was ended" in said
    assert project.processes() == []


@pytest.mark.parametrize("order", ["stop", "wait"])
def test_who_wants_services_stopped_has_that_when_the_supervisor_is_told_to_end(project, order, monkeypatch):
    """The other order does what theirs does, so it is no error, and nobody is told to start anything again."""
    ask = Connection.ask

    def ended(self, request, *limits):
        if isinstance(request, protocol.StopRequest | protocol.WaitRequest):
            os.kill(self.supervisor, signal.SIGTERM)
        return ask(self, request, *limits)

    monkeypatch.setattr(Connection, "ask", ended)
    project.declare("web", "trap 'sleep 0.2; exit' TERM; while :; do sleep 0.01; done")
    project.services.start()
    if order == "stop":
        project.services.stop("web")
    else:
        project.services.wait("web", until="stopped")
    assert project.services.status()[0].status == "Stopped"
    assert project.processes() == []


@pytest.mark.parametrize("error", [SupervisorEnded("ended"), ServiceError("a bug")])
def test_who_watches_hears_of_no_error_when_the_supervisor_is_told_to_end(error):
    """There is nothing more to see; every other error is told as it is."""
    ours, theirs = socket.socketpair()
    with theirs:
        hello = {protocol.KEY: protocol.VERSION, "supervisor": os.getpid(), "guardian": os.getpid()}
        theirs.sendall(protocol.line(**hello) + protocol.line(error=error.record(), ending=True))
        changes = Connection(ours, by_guardian=True).changes()
        if isinstance(error, SupervisorEnded):
            assert list(changes) == []
        else:
            with pytest.raises(ServiceError, match="a bug"):
                next(changes)


def test_an_order_to_end_the_supervisor_ends_everything_in_order(project):
    """SIGTERM of supervisor or guardian stops the services as they are to be stopped, kept ones too."""
    for who in ("supervisor", "guardian"):
        project.declare(
            "web",
            "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done",
            check=CheckSpec(form="log", target=("up",)),
        )
        project.services.start()
        os.kill(getattr(project.record, who)[0], signal.SIGTERM)
        project.await_nothing()
        assert project.services.logs("web")[-1] == "bye"
        assert project.leftovers() == []


def test_a_process_with_a_pid_used_again_is_never_ended(project):
    """What a stale record names by pid but not by start time, or from before a reboot, is left alone."""
    project.declare("web")
    project.services.start()
    record = project.record
    for pid, start in (record.guardian, record.supervisor):
        with pidfd.opened(pid, start) as process:
            if process is not None:  # the supervisor may have seen its guardian's end already
                pidfd.send(process, signal.SIGKILL)
                assert pidfd.wait(process, 10)
    sleeper = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, setsid=True)
    try:
        start = process_table.entry(sleeper).start
        for session, boot in ((sleeper, start + 1), record.boot), ((sleeper, start), "another boot"):
            file = RecordFile(project.dot_flox)
            file.write(replace(record, sessions=(session,), boot=boot, token="gone"))
            file.close()
            assert connect(project.site, start=False) is None
            assert not process_table.entry(sleeper).ended
    finally:
        os.kill(sleeper, signal.SIGKILL)
        os.waitpid(sleeper, 0)


@pytest.mark.slow
def test_a_start_is_killed_at_any_moment(project, caller):
    """Whenever the caller of a start is killed, nothing is left, and the next start works."""
    project.declare("web", "echo up; exec sleep 1000", check=CheckSpec(form="log", target=("up",)))
    events = ("", "web Pending None", "web Running starting", "web Running healthy", "ready")
    for event in events:
        process = caller("print(flush=True)\n" + HOLD)
        for line in process.stdout:
            if line.strip() == event:
                break
        process.kill()
        process.wait()
        project.await_nothing()
        assert project.leftovers() == [] or project.services.status()[0].status == "Stopped"


def test_a_supervisor_that_cannot_start_says_why(project, monkeypatch):
    """When the supervisor ends before it has greeted, its own words are in the error."""
    project.declare("web")
    os.makedirs(f"{project.directory}/run/e.sock/x")
    with pytest.raises(ServiceError, match="the supervisor of the services did not start: ") as caught:
        project.services.start()
    assert "supervisor.log" in caught.value.hint
    project.await_nothing()
    os.rmdir(f"{project.directory}/run/e.sock/x")
    os.rmdir(f"{project.directory}/run/e.sock")
    works(project)
