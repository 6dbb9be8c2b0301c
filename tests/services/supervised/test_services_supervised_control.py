"""What a start, a stop and a status promise, with a real supervisor and shell programs as services."""

from __future__ import annotations

import os
import re
import select
import socket
import stat

import pytest

from esker.errors import PortTaken, ServiceError, ServiceFailed, ServicesNotReady, UnknownService, UsageError
from esker.host import pidfd, process_table
from esker.services.chamber import Stopped
from esker.services.specification import CheckSpec
from esker.services.status import Killed, ServiceStatus
from esker.services.supervised import control


def shell_check(test, **fields):
    """A check by shell text that is made often."""
    return CheckSpec(form="shell", target=(test,), **{"start_interval": 0.01, **fields})


def test_a_service_starts_is_seen_and_stops(project):
    """Started means that it runs; its state says so; after the stop nothing is left, and its log can still be read."""
    project.declare("web", "echo hello $NAME; exec sleep 1000", vars={"NAME": "you"}, ports={"PORT": 24_001})
    (started,) = project.services.start()
    (found,) = project.services.status()
    assert (found.name, found.status, found.health, found.ready, found.kept) == ("web", "Running", None, True, True)
    assert found.pid == started.pid
    assert process_table.entry(found.pid).program == "sleep"
    assert found.ports == {"PORT": 24_001}
    assert 0 <= found.uptime < 15
    assert found.environment_set_by == os.getpid()
    assert project.services.stop() == Stopped(stopped=("web",), not_running=(), users=())
    assert project.processes() == []
    assert project.services.status() == (ServiceStatus(name="web", ports={"PORT": 24_001}),)
    assert project.services.logs("web") == ["hello you"]
    assert stat.S_IMODE(os.stat(started.log).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(started.log)).st_mode) == 0o700


def test_starting_what_runs_changes_nothing(project):
    """A second start finds the services running and starts none again; a second stop says that nothing ran."""
    project.declare("web")
    before = project.services.start()
    assert [one.pid for one in project.services.start()] == [one.pid for one in before]
    project.services.stop("web")
    assert project.services.stop("web") == Stopped(stopped=(), not_running=("web",), users=())


def test_a_service_of_flox_has_started_when_it_runs(project):
    """By Flox's rule exit 0 is Completed and so is any other status, and neither is a failure."""
    project.declare("good", "echo done", has_table=False)
    project.declare("bad", "exit 3", has_table=False)
    services = project.services
    services.like_flox = True
    services.start()
    found = {
        one.name: (one.status, one.exit_code, one.pid) for one in project.services.wait(until="completed", seconds=10)
    }
    assert found == {"good": ("Completed", 0, None), "bad": ("Completed", 3, None)}
    assert project.services.logs("good") == ["done"]
    project.services.stop()
    assert {one.status for one in project.services.status()} == {"Stopped"}


def test_dependencies_begin_when_their_condition_holds(project):
    """Completed, healthy and started are waited for, in the order of the graph whatever the order of the names."""
    order = f"{project.directory}/order"
    with open(order, "w"):
        os.chmod(order, 0o666)
    project.declare("api", f"echo api >> {order}; exec sleep 1000", depends_on={"db": "service_healthy"})
    project.declare(
        "db",
        f"echo db >> {order}; touch $TMP/up; exec sleep 1000",
        depends_on={"files": "service_completed_successfully", "log": "service_started"},
        check=shell_check("test -e $TMP/up && echo healthy >> $ORDER"),
        vars={"ORDER": order},
    )
    project.declare("files", f"echo files >> {order}", oneshot=True)
    project.declare("log", "exec sleep 1000")
    project.declare("other", f"echo other >> {order}")
    project.variables["TMP"] = f"{project.directory}/tmp"
    os.mkdir(project.variables["TMP"])
    os.chmod(project.variables["TMP"], 0o777)
    started = project.services.start("api")
    assert [(one.name, one.status, one.health) for one in started] == [
        ("api", "Running", None),
        ("db", "Running", "healthy"),
        ("files", "Completed", None),
        ("log", "Running", None),
    ]
    with open(order) as lines:
        assert lines.read().split()[:4] == ["files", "db", "healthy", "api"]
    project.services.stop()


def test_independent_services_begin_at_once(project):
    """Two services that each need the other to run while they become healthy both do."""
    pipe = f"{project.directory}/pipe"
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    project.declare("a", f"echo met > {pipe}", oneshot=True)
    project.declare("b", f"cat < {pipe}", oneshot=True)
    project.services.start(seconds=10)
    assert project.services.logs("b") == ["met"]
    project.services.stop()


def test_services_stop_after_those_that_depend_on_them(project):
    """Stopping goes the other way round, and each has ended before the next is told to."""
    said = "trap 'echo $ESKER_SERVICE ends; exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"
    order = f"{project.directory}/order"
    with open(order, "w"):
        os.chmod(order, 0o666)
    said = said.replace("ends;", f"ends >> {order};")
    for name, needs in (("db", []), ("cache", []), ("api", ["db", "cache"]), ("web", ["api"])):
        check = CheckSpec(form="log", target=("up",))
        project.declare(name, said, check=check, depends_on=dict.fromkeys(needs, "service_healthy"))
    project.services.start()
    project.services.stop()
    with open(order) as lines:
        names = [line.split()[0] for line in lines]
    assert names[:2] == ["web", "api"]
    assert set(names[2:]) == {"db", "cache"}


def test_a_failure_names_service_status_and_log_and_undoes_the_start(project):
    """What the call started has stopped when the error arrives; what ran before runs on."""
    project.declare("before")
    project.declare("db")
    project.declare("api", "echo one; echo two >&2; exit 3", depends_on={"db": "service_started"})
    project.declare("web", depends_on={"api": "service_started"})
    (before,) = project.services.start("before")
    with pytest.raises(ServiceFailed) as caught:
        project.services.start("web")
    error = caught.value
    assert error.message == "service `api` exited with status 3 before it was ready"
    assert (error.service, error.status, error.log) == ("api", 3, ("one", "two"))
    assert [(one.name, one.status, one.pid) for one in project.services.status()] == [
        ("api", "Stopped", None),
        ("before", "Running", before.pid),
        ("db", "Stopped", None),
        ("web", "Stopped", None),
    ]
    project.services.stop()


def test_nothing_is_left_after_a_failed_start(project):
    """When nothing ran before, a failed start ends with no supervisor and no files."""
    project.declare("api", "kill -9 $$")
    with pytest.raises(ServiceFailed, match="service `api` was ended by SIGKILL before it was ready") as caught:
        project.services.start()
    assert caught.value.status == 137
    assert project.processes() == []


def test_exit_0_before_health_is_a_failure_with_a_hint(project):
    """A server that is gone was not started, whatever its status; a job is told how to say that it is one."""
    project.declare("web", "exit 0", check=shell_check("false"))
    with pytest.raises(ServiceFailed) as caught:
        project.services.start()
    assert caught.value.message == "service `web` exited with status 0 before it was healthy"
    assert 'type = "oneshot"' in caught.value.hint


def test_a_service_that_never_becomes_healthy_fails_with_what_its_check_found(project):
    """After the start period the retries count; the message says what was found, and shows the log."""
    check = shell_check("echo no response; exit 2", start_period=0.0, retries=3)
    project.declare("db", "echo starting; exec sleep 1000", check=check)
    with pytest.raises(ServiceFailed) as caught:
        project.services.start()
    assert caught.value.message == (
        "service `db` does not become healthy: `echo no response; exit 2` exited with status 2: no response"
    )
    assert caught.value.log == ("starting",)


def test_a_start_ends_in_time(project):
    """After the limit the error names what was not ready, with the end of its log, and its exit status is 124."""
    project.declare("db", "echo starting; exec sleep 1000", check=shell_check("false"))
    project.declare("api", depends_on={"db": "service_healthy"})
    project.declare("ok")
    with pytest.raises(ServicesNotReady) as caught:
        project.services.start(seconds=0.3)
    assert caught.value.message == "services `db`, `api` were not ready within 0.3 s"
    assert caught.value.hint == (
        "the health check of `db` found: `false` exited with status 1; allow a longer `--timeout`; "
        "else fix what its log reports; `esker services logs db` shows more of it"
    )
    assert (caught.value.services, caught.value.log, caught.value.exit_status) == (("db", "api"), ("starting",), 124)
    assert project.processes() == []


def test_a_start_that_waits_for_a_service_to_stop_ends_in_time(project, caller):
    """The error names what was not ready, also services that had not been begun yet."""
    project.declare(
        "db",
        "trap : TERM; echo up; while :; do sleep 1000; done",
        stop_grace_period=1.0,
        check=CheckSpec(form="log", target=("up",)),
    )
    project.services.start()
    stopping = caller("services.stop()")
    next(one for one in project.services.changes() if one.status == "Terminating")
    project.declare("api", depends_on={"db": "service_healthy"})
    with pytest.raises(ServicesNotReady, match=r"services `db`, `api` were not ready within 0\.1 s"):
        project.services.start(seconds=0.1)
    stopping.communicate(timeout=15)
    project.await_nothing()  # the supervisor ends after its last caller, whom it does not keep waiting


def test_unknown_names_are_refused_before_anything_is_done(project):
    """An unknown name among others starts and stops nothing."""
    project.declare("web")
    for call in (project.services.start, project.services.stop, project.services.status, project.services.restart):
        with pytest.raises(UnknownService, match="service `invalid` does not exist"):
            call("web", "invalid")
    assert not os.path.exists(f"{project.directory}/run")
    project.services.start()
    with pytest.raises(UnknownService):
        project.services.stop("web", "invalid")
    assert project.services.status("web")[0].status == "Running"
    project.services.stop()


def test_an_environment_without_services_says_so(project):
    """There is nothing to start."""
    with pytest.raises(ServiceError, match="this environment has no services"):
        project.services.start()


def test_a_cycle_is_refused_before_anything_is_done(project):
    """The cycle is named, and no supervisor is started for it."""
    project.declare("a", depends_on={"b": "service_started"})
    project.declare("b", depends_on={"a": "service_started"})
    with pytest.raises(ServiceError, match="`a -> b -> a`"):
        project.services.start()
    assert not os.path.exists(f"{project.directory}/run")


def test_a_port_of_a_stranger_is_named_with_its_holder(project, free_port):
    """A stranger's server that would answer the check is no health: the port is tested first, the holder named."""
    port = free_port()
    project.declare_server("mine", port)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken) as caught:
        project.services.start(seconds=10)
    program = process_table.entry(os.getpid()).program
    assert caught.value.message == (
        f"service `mine` cannot start: port {port} of `PORT` is taken by `{program}` (pid {os.getpid()})"
    )
    assert "--renew" in caught.value.hint
    assert "in the manifest for others" in caught.value.hint
    assert project.processes() == []


def test_a_port_of_another_service_here_is_told_with_its_name(project, free_port):
    """Such as one that has been renamed while it runs: the hint stops it, and names no process to kill."""
    port = free_port()
    project.declare_server("before", port)
    project.services.start(seconds=10)
    project.declare_server("after", port)
    with pytest.raises(PortTaken) as caught:
        project.services.start("after", seconds=10)
    assert (
        caught.value.message == f"service `after` cannot start: port {port} of `PORT` is taken by the service `before`"
    )
    assert caught.value.hint == "stop it: esker services stop before"
    project.services.stop()


def test_the_port_of_a_check_is_tested_too(project, free_port):
    """A stranger who answers the check of a service that declares no port is found out as well."""
    port = free_port()
    project.declare("mine", check=CheckSpec(form="tcp", target=(f"localhost:{port}",)))
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken, match=f"port {port} of its health check"):
        project.services.start(seconds=10)


def test_a_check_may_ask_another_service(project, free_port):
    """A service whose check asks a port of another service of the environment is no victim of a stranger."""
    port = free_port()
    project.declare_server("server", port)
    check = CheckSpec(form="tcp", target=(f"127.0.0.1:{port}",))
    project.declare("proxy", check=check, depends_on={"server": "service_healthy"})
    assert [one.health for one in project.services.start()] == ["healthy", "healthy"]
    project.services.stop()


def test_a_service_that_is_named_twice_is_meant_once(project):
    """It has one state, and is stopped once."""
    project.declare("web")
    project.services.start()
    assert [each.name for each in project.services.status("web", "web")] == ["web"]
    assert project.services.stop("web", "web") == Stopped(stopped=("web",), not_running=())
    assert project.services.stop("web", "web") == Stopped(stopped=(), not_running=("web",))


def test_a_check_counts_only_while_the_service_lives(project):
    """Whoever answers, a service that has ended is not healthy."""
    project.declare("web", "exit 7", check=shell_check("sleep 0.05"))
    with pytest.raises(ServiceFailed, match="exited with status 7 before it was healthy"):
        project.services.start()


def test_a_stubborn_service_is_killed_after_its_grace(project):
    """A service that ignores the signal is gone after the grace period, with its children, and the answer says so."""
    project.declare(
        "web",
        "trap '' TERM; sleep 1000 & sleep 1000 & echo up; wait",
        stop_grace_period=0.2,
        check=CheckSpec(form="log", target=("up",)),
    )
    project.services.start()
    assert project.services.stop().killed == (Killed(service="web", signal="SIGTERM", seconds=0.2),)
    assert project.processes() == []


def test_a_restart_says_what_it_had_to_kill(project):
    """The state of a service tells it, until it is stopped again; so does that of one with a new definition."""
    check = CheckSpec(form="log", target=("up",))
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.02; done"
    project.declare("web", stubborn, stop_grace_period=0.2, check=check)
    project.declare("other")
    project.services.start()
    killed = Killed(service="web", signal="SIGTERM", seconds=0.2)
    told = []
    project.services.restart(changed=told.append)
    assert [each.killed for each in project.services.status()] == [None, killed]
    assert ("Stopped", killed) in [(each.status, each.killed) for each in told]
    project.declare("web", "echo up; exec sleep 1000", check=check)
    assert [each.killed for each in project.services.start(recreate=True)] == [None, killed]
    project.services.restart("web")
    assert [each.killed for each in project.services.status()] == [None, None]
    project.services.stop()


@pytest.mark.slow
def test_a_stop_waits_for_what_runs_and_not_for_what_is_declared(project, monkeypatch):
    """A service that was taken out of the manifest has the grace that it was started with, before anybody is blamed."""
    check = CheckSpec(form="log", target=("up",))
    command = "trap 'sleep 0.5; exit' TERM; echo up; while :; do sleep 0.02; done"
    project.declare("web", command, stop_grace_period=5.0, check=check)
    project.services.start()
    project.declare("endless", stop_grace_period=1e12)
    project.services.start()
    project.specs.clear()
    monkeypatch.setattr(control, "_ANSWER", 0.2)
    assert project.services.stop().stopped == ("web", "endless")


def test_without_any_grace_nothing_was_ignored(project):
    """A service that was killed at once did not get the time to end by itself."""
    project.declare("web", stop_grace_period=0.0)
    project.services.start()
    assert project.services.stop().killed == ()


def test_the_stop_signal_is_the_declared_one(project):
    """The program gets that signal, and has its grace to end in its own way."""
    project.declare(
        "web",
        "trap 'echo interrupted; exit 0' INT; echo up; while :; do sleep 0.01; done",
        stop_signal="SIGINT",
        check=CheckSpec(form="log", target=("up",)),
    )
    project.services.start()
    assert project.services.stop().killed == ()
    assert project.services.logs("web") == ["up", "interrupted"]


ORPHAN = 'sh -c "echo \\$\\$ > $PIDS; exec sleep 1000"'


@pytest.mark.parametrize(
    "command",
    [
        f"({ORPHAN} & ) ; exec sleep 1000",
        f"(setsid {ORPHAN} &) ; exec sleep 1000",
        f"(setsid setsid {ORPHAN} > /dev/null 2>&1 &) ; exec sleep 1000",
        f"(env -i PIDS=$PIDS PATH=$PATH setsid {ORPHAN} &); exec sleep 1000",
        f"trap '' TERM; (setsid {ORPHAN} &); while :; do sleep 1000; done",
    ],
)
def test_the_whole_tree_ends(project, command):
    """Double forks, sessions of their own, no output and no variables: each ends with its service, and no other."""
    pids = f"{project.directory}/pids"
    os.mkfifo(pids)
    os.chmod(pids, 0o666)
    project.declare("web", command, vars={"PIDS": pids}, stop_grace_period=0.2)
    project.declare("other")
    project.services.start("other")
    reading = os.open(pids, os.O_RDWR)  # as a writer too, so that a read waits for the orphan, which may come late
    project.services.start("web")
    assert select.select([reading], [], [], 10)[0]
    with pidfd.opened(int(os.read(reading, 100))) as orphan:
        assert not pidfd.wait(orphan, 0)
        project.services.stop("web")
        assert pidfd.wait(orphan, 0)
    os.close(reading)
    assert project.services.status("other")[0].status == "Running"
    project.services.stop()


@pytest.mark.parametrize("number", [-1, -0.5, float("nan"), float("inf"), 1e30])
def test_a_limit_that_cannot_be_kept_is_refused_before_anything_starts(project, number):
    """Seconds below zero or beyond the system's clock, and such numbers of lines, are an error and not a guess."""
    project.declare("web")
    services = project.services
    for ask in (services.start, services.restart, services.lease, services.wait):
        with pytest.raises(UsageError, match=re.escape(f"`{number:g}` seconds cannot be used")) as caught:
            ask(seconds=number)
        assert caught.value.hint == "give a number from 0 to 1000000000"
    with pytest.raises(UsageError, match="lines cannot be used"):
        services.logs("web", number)
    with pytest.raises(UsageError, match="lines cannot be used"):
        services.follow(count=number, pause=lambda: False)
    assert not os.path.exists(f"{project.dot_flox}/cache")
