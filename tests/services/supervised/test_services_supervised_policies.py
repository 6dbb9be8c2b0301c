"""How services run on: restarts, oneshots, daemons, and what their checks say later."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from esker.errors import ServiceError, ServiceFailed, ServicesNotReady
from esker.host import pidfd, process_table
from esker.services.specification import CheckSpec, ServiceSpec
from esker.services.status import Killed
from esker.services.supervised import programs
from esker.services.supervised.children import Children
from esker.services.supervised.process_service import ProcessService
from esker.services.supervised.programs import RunContext
from esker.services.supervised.rendezvous import connect
from tests.support.service_logs import log_file

UP = CheckSpec(form="log", target=("up",))


def until(project, reached, name="web"):
    """Follow the changes of a service until `reached`, and return that status."""
    return next(one for one in project.services.changes() if one.name == name and reached(one))


def attempts(project):
    """Count the lines that the service wrote: one each time it began."""
    return project.services.logs("web").count("up")


def test_on_failure_restarts_until_its_limit(project):
    """A service that dies at once and again is started again so often, and then the failure is named."""
    project.declare("web", "echo up; exit 4", restart="on-failure", max_restarts=2, backoff=0.001)
    with pytest.raises(ServiceFailed, match="exited with status 4 before it was ready, after 2 restarts") as caught:
        project.services.start()
    assert (caught.value.status, caught.value.log) == (4, ("up",))
    assert attempts(project) == 3


def test_on_failure_that_recovers_becomes_ready(project):
    """A start succeeds when a restart does."""
    count = f"{project.directory}/count"
    os.mkdir(count)
    os.chmod(count, 0o777)
    script = "mkdir $COUNT/1 2>/dev/null && exit 1; mkdir $COUNT/2 2>/dev/null && exit 1; echo up; exec sleep 1000"
    project.declare("web", script, restart="on-failure", backoff=0.001, check=UP, vars={"COUNT": count})
    (started,) = project.services.start()
    assert (started.restarts, started.health) == (2, "healthy")
    project.services.stop()


@pytest.mark.parametrize("begin", ["start", "restart", "lease"])
def test_a_plain_service_that_dies_at_once_is_not_reported_as_started(project, begin):
    """Without Esker's table too, the error names the service, its status and its log, and nothing is left running."""
    project.declare("other", has_table=False)
    project.declare("web", "echo no uvicorn; exec /nowhere/uvicorn", has_table=False)
    with pytest.raises(ServiceFailed, match="service `web` exited with status 127 before it was ready") as caught:
        getattr(project.services, begin)()
    assert (caught.value.service, caught.value.status, caught.value.log[0]) == ("web", 127, "no uvicorn")
    assert project.processes() == []


def test_a_plain_service_may_end_well_at_once_and_badly_later(project):
    """A service without Esker's table that ends with status 0 has started, and one that fails later has completed."""
    pipe = f"{project.directory}/pipe"
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    project.declare("once", "true", has_table=False)
    project.declare("web", f"read line < {pipe}; exit 3", has_table=False)
    once, web = project.services.start()
    assert (once.status, once.exit_code, web.status, web.ready) == ("Completed", 0, "Running", True)
    with open(pipe, "w") as file:
        file.write("go\n")
    ended = until(project, lambda one: one.status == "Completed")
    assert (ended.exit_code, ended.message) == (3, None)
    project.services.stop()


def test_a_plain_daemon_whose_command_fails_is_not_reported_as_started(project):
    """The start waits for the command of a daemon, and fails with it, also without Esker's table."""
    project.declare("web", "exit 5", has_table=False, is_daemon=True, shutdown="true")
    with pytest.raises(ServiceFailed, match="service `web` exited with status 5"):
        project.services.start()


def test_a_lenient_start_takes_no_notice_of_how_a_plain_service_ends(project):
    """As with Flox, the service has started and has completed with its status."""
    project.declare("web", "exit 7", has_table=False)
    services = project.services
    services.like_flox = True
    services.start()
    ended = until(project, lambda one: one.status == "Completed")
    assert (ended.exit_code, ended.message) == (7, None)
    assert services.restart("web") == {"web": "started"}
    services.stop()


@pytest.mark.parametrize("policy", ["on-failure", "always"])
def test_a_killed_service_is_restarted(project, policy):
    """After kill -9 of a service its policy acts, and the same supervisor goes on."""
    project.declare("web", "echo up; exec sleep 1000", restart=policy, backoff=0.001, check=UP)
    (started,) = project.services.start()
    os.kill(started.pid, signal.SIGKILL)
    again = until(project, lambda one: one.health == "healthy" and one.pid != started.pid)
    assert (again.restarts, again.kept) == (1, True)
    project.services.stop()


def test_a_killed_service_without_a_policy_is_a_named_failure(project):
    """Without a policy the state is Error, with how it ended; what depends on it runs on, and a start mends it."""
    project.declare("web", "echo up; exec sleep 1000", check=UP)
    project.declare("api", depends_on={"web": "service_healthy"})
    _, started = project.services.start()
    os.kill(started.pid, signal.SIGKILL)
    failed = until(project, lambda one: one.status == "Error")
    assert (failed.exit_code, failed.message) == (137, "service `web` was ended by SIGKILL")
    assert project.services.status("api")[0].status == "Running"
    with pytest.raises(ServiceFailed, match="service `web` was ended by SIGKILL"):
        project.services.wait("web", until="healthy", seconds=5)
    project.services.start("web")
    assert project.services.status("web")[0].health == "healthy"
    project.services.stop()


def test_always_restarts_what_ended_well(project):
    """`always` starts a service again when it exits 0 as well; others have completed then."""
    pipes = {name: f"{project.directory}/{name}" for name in ("web", "once")}  # one each: who reads first is no matter
    for name, policy in (("web", "always"), ("once", "on-failure")):
        os.mkfifo(pipes[name])
        os.chmod(pipes[name], 0o666)
        command = f"echo up; read line < {pipes[name]}; exit 0"
        project.declare(name, command, check=UP, restart=policy, backoff=0.001)
    project.services.start()
    for pipe in pipes.values():
        with open(pipe, "w") as file:
            file.write("go\n")
    assert until(project, lambda one: one.status == "Completed", "once").exit_code == 0
    assert until(project, lambda one: one.restarts and one.health == "healthy").restarts >= 1
    project.services.stop()


def test_a_service_that_dies_all_the_time_does_not_hold_up_a_start_for_ever(project):
    """`always` never gives up by itself; the start does, in time."""
    project.declare("web", "exit 1", restart="always", backoff=0.001)
    with pytest.raises(ServicesNotReady, match=r"`web` was not ready within 0\.3 s"):
        project.services.start(seconds=0.3)


def test_a_oneshot_completes_once(project):
    """Its result is in use while anything holds it: a second start does not do its work again, a restart does."""
    project.declare("web", "echo up", oneshot=True)
    project.declare("api", depends_on={"web": "service_completed_successfully"})
    project.services.start()
    project.services.start("api")
    assert attempts(project) == 1
    assert project.services.restart("web") == {"web": "started"}
    assert attempts(project) == 2
    project.services.stop()
    assert project.services.status("web")[0].status == "Stopped"


def test_a_oneshot_that_fails_stops_what_waits_for_it(project):
    """The error is the oneshot's own, not that of the service which was never started."""
    project.declare("files", "echo no space; exit 1", oneshot=True)
    project.declare("db", depends_on={"files": "service_completed_successfully"})
    with pytest.raises(ServiceFailed) as caught:
        project.services.start("db")
    assert caught.value.message == "service `files` exited with status 1"
    assert (caught.value.service, caught.value.log) == ("files", ("no space",))


def test_what_waits_for_any_end_starts_when_a_job_has_failed(project):
    """It waits until the job has ended, whatever the job's status."""
    project.declare("job", "sleep 0.3; echo over; exit 3", has_table=False, any_end=True)
    project.declare("web", "echo up; exec sleep 1000", depends_on={"job": "service_completed"})
    job, web = project.services.start()
    assert (job.status, job.exit_code, web.status) == ("Completed", 3, "Running")
    project.services.stop()


def test_what_fails_at_once_is_no_failure_where_any_end_is_awaited(project):
    """Otherwise a command that ends in its first moment with another status than 0 fails the start."""
    project.declare("job", "exit 3", has_table=False, any_end=True)
    project.declare("web", depends_on={"job": "service_completed"})
    assert [one.status for one in project.services.start("web")] == ["Completed", "Running"]
    project.services.stop()


def test_what_a_program_leaves_ends_with_it(project):
    """A child that a finished program leaves behind is ended, so that it is in nobody's way at the next start."""
    project.declare("job", "sleep 1000 & echo $!", oneshot=True)
    project.services.start()
    assert process_table.entry(int(project.services.logs("job")[0])) is None
    project.services.stop()


DAEMON = (
    "(setsid sh -c 'echo $$ > $PIDFILE; echo up; exec sleep 1000' &) ; while ! test -s $PIDFILE; do sleep 0.01; done"
)


@pytest.fixture
def pidfile(project):
    """Where a daemon writes its pid."""
    directory = f"{project.directory}/data"
    os.mkdir(directory)
    os.chmod(directory, 0o777)
    project.variables["PIDFILE"] = f"{directory}/pid"
    return project.variables["PIDFILE"]


def test_a_daemon_has_started_when_its_command_returned(project, pidfile):
    """Its state shows the process that stays; its own command stops it."""
    project.declare("web", DAEMON, is_daemon=True, shutdown="echo told; kill $(cat $PIDFILE)")
    (started,) = project.services.start()
    with open(pidfile) as file:
        assert (started.status, started.pid) == ("Running", int(file.read()))
    project.services.stop()
    assert project.services.logs("web") == ["up", "told"]


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "leased"])
def test_a_supervisor_stays_for_services_that_have_ended(project, keeps):
    """As long as something holds them, their states can be seen and a oneshot does not run again; then it ends."""
    project.declare("web", "echo up", oneshot=True)
    if keeps:
        project.services.start()
    else:
        leased = project.services.lease()
    with connect(project.site, start=False) as connection:
        pid = connection.supervisor
    with pidfd.opened(pid) as supervisor:
        assert [one.status for one in project.services.status()] == ["Completed"]
        with project.services.lease():
            assert attempts(project) == 1
        assert [one.exit_code for one in project.services.status()] == [0]
        assert not pidfd.wait(supervisor, 0)
        project.services.stop() if keeps else leased.release()
        assert pidfd.wait(supervisor, 10)


def test_a_daemon_that_dies_is_seen(project, pidfile):
    """The end of a daemon's last process is the end of the service."""
    project.declare("web", DAEMON, is_daemon=True, shutdown="true")
    (started,) = project.services.start()
    os.kill(started.pid, signal.SIGKILL)
    assert until(project, lambda one: one.status == "Error").exit_code == 137
    project.services.stop()


def test_a_daemon_whose_shutdown_does_not_work_is_killed(project, pidfile):
    """After the grace period the daemon is killed; a shutdown command that fails is said in the log."""
    project.declare("web", DAEMON, is_daemon=True, shutdown="true", stop_grace_period=0.2)
    project.services.start()
    assert project.services.stop().killed == (Killed(service="web", signal=None, seconds=0.2),)
    os.remove(pidfile)
    project.declare("web", DAEMON, is_daemon=True, shutdown="exit 9")
    project.services.start()
    project.services.stop()
    assert project.services.logs("web")[-1] == "esker: the shutdown command exited with status 9"


def test_a_daemon_whose_command_fails_has_failed(project):
    """The command's own status is the failure's."""
    project.declare("web", "exit 5", is_daemon=True, shutdown="true")
    with pytest.raises(ServiceFailed, match="exited with status 5") as caught:
        project.services.start()
    assert caught.value.status == 5


def test_a_daemon_with_a_check_is_ready_when_healthy(project, pidfile):
    """The check begins when the command has returned."""
    check = CheckSpec(form="shell", target=("test -s $PIDFILE",), start_interval=0.01)
    project.declare("web", DAEMON, is_daemon=True, shutdown="kill $(cat $PIDFILE)", check=check)
    (started,) = project.services.start()
    assert started.health == "healthy"
    project.services.stop()


def test_health_is_watched_after_the_start(project):
    """A service that stops answering becomes unhealthy after its retries, and healthy again; it is not restarted."""
    flag = f"{project.directory}/ok"
    check = CheckSpec(form="shell", target=(f"test -e {flag}",), interval=0.01, start_interval=0.01, retries=2)
    project.declare("web", check=check)
    open(flag, "w").close()
    (started,) = project.services.start()
    os.remove(flag)
    sick = until(project, lambda one: one.health == "unhealthy")
    assert (sick.pid, sick.status, sick.message) == (started.pid, "Running", f"`test -e {flag}` exited with status 1")
    open(flag, "w").close()
    assert until(project, lambda one: one.health == "healthy").message is None
    project.services.stop()


@pytest.fixture
def sick(project):
    """Make `web` healthy and then unhealthy; return the file that makes it healthy again."""
    flag = f"{project.directory}/ok"
    check = CheckSpec(form="shell", target=(f"test -e {flag}",), interval=0.01, start_interval=0.01, retries=2)
    project.declare("web", check=check)
    open(flag, "w").close()
    project.services.start()
    os.remove(flag)
    until(project, lambda one: one.health == "unhealthy")
    yield flag
    project.services.stop()


def test_a_service_that_turned_unhealthy_is_waited_for_until_it_is_healthy_again(project, sick):
    """A wait for health sees the present state, and is over once the service has recovered."""
    assert not project.services.status("web")[0].ready
    with pytest.raises(ServicesNotReady, match=r"`web` not healthy within 0\.1 s"):
        project.services.wait("web", seconds=0.1)
    open(sick, "w").close()
    (well,) = project.services.wait("web", seconds=10)
    assert (well.health, well.ready) == ("healthy", True)


def test_a_start_that_joins_an_unhealthy_service_waits_and_leaves_it_running(project, sick):
    """The start says what the health check found, and does not end the service that it has not started."""
    (before,) = project.services.status("web")
    with pytest.raises(ServicesNotReady, match=r"service `web` was not ready within 0\.1 s") as caught:
        project.services.start("web", seconds=0.1)
    assert "exited with status 1" in caught.value.hint
    open(sick, "w").close()
    (after,) = project.services.start("web", seconds=10)
    assert (after.pid, after.health) == (before.pid, "healthy")


def test_a_dependant_does_not_start_while_its_dependency_is_unhealthy(project, sick):
    """`service_healthy` means healthy now, not healthy once."""
    project.declare("api", depends_on={"web": "service_healthy"})
    with pytest.raises(ServicesNotReady, match="`api`"):
        project.services.start("api", seconds=0.2)
    assert [one.status for one in project.services.status()] == ["Stopped", "Running"]
    open(sick, "w").close()
    assert [one.status for one in project.services.start("api", seconds=10)] == ["Running", "Running"]


def test_a_start_waits_for_a_restarted_service_that_has_not_recovered(project):
    """A service that its policy restarted, and that is unhealthy since, is joined as patiently as any unhealthy one."""
    flag = f"{project.directory}/ok"
    check = CheckSpec(
        form="shell", target=(f"test -e {flag}",), interval=0.01, start_interval=0.01, start_period=0.0, retries=2
    )
    open(flag, "w").close()
    project.declare("web", check=check, restart="always", backoff=0.001)
    (started,) = project.services.start()
    os.remove(flag)
    os.kill(started.pid, signal.SIGKILL)
    until(project, lambda one: one.restarts == 1 and one.health == "unhealthy")
    with pytest.raises(ServicesNotReady):
        project.services.start(seconds=0.1)
    open(flag, "w").close()
    assert project.services.start(seconds=10)[0].health == "healthy"
    project.services.stop()


def test_a_check_that_hangs_is_ended(project):
    """A check has its own limit; its processes are ended with it."""
    check = CheckSpec(form="shell", target=("sleep 1000 | sleep 1000",), timeout=0.05, start_period=0.0, retries=1)
    project.declare("web", check=check)
    with pytest.raises(ServiceFailed, match=r"service `web` does not become healthy: no answer within 0\.05 s"):
        project.services.start()
    assert project.processes() == []


def test_a_check_that_can_never_be_made_is_a_failure(project):
    """A variable that is not set is named before the service is started."""
    project.declare("web", check=CheckSpec(form="tcp", target=("localhost:$NOWHERE",)))
    with pytest.raises(ServiceFailed, match=r"the service `web`: the health check uses `\$NOWHERE`, which is not set"):
        project.services.start()


@pytest.mark.parametrize(
    ("form", "target", "told"),
    [
        (
            "shell",
            ("no-such-probe -q",),
            "its command was not found: `no-such-probe -q` exited with status 127: .*not fo",
        ),
        ("exec", ("no-such-probe", "-q"), "its command was not found: `no-such-probe -q` exited with status 127: "),
        ("exec", ("./notes",), "its command cannot be run: `./notes` exited with status 126: "),
        ("shell", ("./notes",), "its command cannot be run: `./notes` exited with status 126: "),
    ],
)
def test_a_check_whose_command_cannot_be_run_fails_at_once(project, form, target, told):
    """No time makes a command appear, so the start does not wait for the `start-period`, and names the command."""
    Path(project.directory, "notes").write_text("not a program")
    project.variables["PATH"] = "/usr/bin:/bin"  # a directory that its user may not enter hides what is missing
    check = CheckSpec(form=form, target=target, start_period=1e6, start_interval=0.01)
    project.declare("web", check=check)
    with pytest.raises(ServiceFailed, match=f"service `web` does not become healthy: {told}") as caught:
        project.services.start(seconds=600)
    assert caught.value.hint.startswith("install what has that command, or correct `healthcheck`")
    (status,) = project.services.status()
    assert status.message.startswith("its last start failed: service `web` does not become healthy: its command")


def test_why_the_last_start_failed_is_shown_until_the_next(project):
    """A failed start leaves every service stopped; status says why, for those that failed and not for the others."""
    project.declare("db")
    project.declare("web", "exit 3")
    project.declare("slow", check=CheckSpec(form="shell", target=("false",), start_period=1e6))
    with pytest.raises(ServiceFailed):
        project.services.start("db", "web")
    with pytest.raises(ServicesNotReady):
        project.services.start("slow", seconds=0.2)
    told = {one.name: (one.status, one.message) for one in project.services.status()}
    assert told["db"] == ("Stopped", None)
    failure = "its last start failed: service `web` exited with status 3 before it was ready"
    assert told["web"] == ("Stopped", failure)
    assert told["slow"][1].startswith(
        "its last start failed: service `slow` was not ready within 0.2 s; the health check"
    )
    project.declare("web")
    project.services.start("web")
    assert project.services.status("web")[0].message is None
    project.services.stop()
    assert project.services.status("web")[0].message is None
    assert project.services.status("slow")[0].message


@pytest.mark.parametrize("damaged", ["[]", "{", '{"web": 3}', '{"other": "x"}'])
def test_what_is_left_of_failed_starts_may_be_anything(project, damaged):
    """The file lies in the project, which may be another user's: what is not a reason is no reason."""
    project.declare("web")
    os.makedirs(project.site.logs)
    path = Path(project.site.logs, "failed-starts.json")
    path.write_text(damaged)
    assert project.services.status("web")[0].message is None
    path.unlink()
    os.mkfifo(path)
    assert project.services.status("web")[0].message is None


@pytest.mark.parametrize("how", ["recreate", "restart"])
def test_a_service_runs_on_if_its_new_specification_cannot_start(project, free_port, how):
    """What can be known before is checked before the service is stopped: variables of the check, and new ports."""
    port = free_port()
    project.declare("web", ports={"PORT": port})
    (before,) = project.services.start()

    def again():
        return project.services.start(recreate=True) if how == "recreate" else project.services.restart()

    project.declare("web", ports={"PORT": port}, check=CheckSpec(form="tcp", target=("localhost:$NOWHERE",)))
    with pytest.raises(ServiceFailed, match=r"the health check uses `\$NOWHERE`, which is not set") as caught:
        again()
    assert caught.value.hint.endswith("`web` runs on as it was")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        project.declare("web", ports={"PORT": taken.getsockname()[1]})
        with pytest.raises(ServiceFailed, match=r"service `web` cannot start: port \d+ of `PORT` is taken"):
            again()
    assert project.services.status()[0].pid == before.pid
    project.declare("web", "exec sleep 999", ports={"PORT": port})
    again()
    assert project.services.status()[0].pid != before.pid
    project.services.stop()


def test_a_check_of_an_impossible_host_is_no_fault_of_ours(project):
    """A host name that no name service would take is what the check found, not the end of checking."""
    project.declare("web", check=CheckSpec(form="tcp", target=("a..b:1",), start_period=0.0, retries=1))
    with pytest.raises(ServiceFailed, match=r"service `web` does not become healthy: .*label"):
        project.services.start()


def test_a_program_that_cannot_be_started_says_why(project):
    """A missing shell is a failure of that service, at once."""
    project.declare("web")
    project.variables["PATH"] = "/nowhere"
    with pytest.raises(ServiceFailed, match="cannot start the service `web`: cannot run `sh`: no such file"):
        project.services.start()


def test_a_flood_of_output_is_rotated_and_stops(project):
    """A service that writes without end is stopped like any other; its log keeps within its bounds."""
    project.declare(
        "web", "echo up; exec yes 'a line of a flood that never ends, and is not wanted by anybody'", check=UP
    )
    project.services.start()
    path = project.services.status("web")[0].log
    while not os.path.exists(f"{path}.1"):
        project.services.status()
    project.services.stop()
    assert os.path.getsize(f"{path}.1") < 10_200_000
    assert len(project.services.logs("web", 1000)) == 1000


def test_restart_renews_variables_and_says_what_it_did(project):
    """A restart of one gives it the caller's variables; the others keep theirs and go on."""
    project.declare("web", "echo $VALUE; exec sleep 1000", check=CheckSpec(form="log", target=("$VALUE",)))
    project.declare("other")
    project.variables["VALUE"] = "old"
    other, web = project.services.start()
    project.variables["VALUE"] = "new"
    assert project.services.restart("web") == {"web": "restarted"}
    assert project.services.logs("web") == ["old", "new"]
    found_other, found_web = project.services.status()
    assert found_web.pid != web.pid
    assert found_web.environment_set_at > web.environment_set_at
    assert found_other.pid == other.pid
    project.services.stop("web")
    assert project.services.restart("web") == {"web": "started"}
    assert project.services.restart() == {"other": "restarted", "web": "restarted"}
    project.services.stop()


def test_a_restart_takes_a_new_declaration_unless_it_is_like_flox_s_of_one(project):
    """With Flox's rules, a service named alone keeps its declaration while others run."""
    project.declare("one", "echo old; exec sleep 1000", check=CheckSpec(form="log", target=("old|new",)))
    project.declare("two")
    project.services.start()
    project.declare("one", "echo new; exec sleep 1000", check=CheckSpec(form="log", target=("old|new",)))
    like_flox = project.services
    like_flox.like_flox = True
    like_flox.restart("one")
    assert project.services.logs("one") == ["old", "old"]
    like_flox.restart()
    assert project.services.logs("one") == ["old", "old", "new"]
    project.declare("one", "echo newer; exec sleep 1000", check=CheckSpec(form="log", target=("newer",)))
    project.services.restart("one")
    assert project.services.logs("one") == ["old", "old", "new", "newer"]
    project.services.stop("two")
    project.services.stop()


def test_wait(project):
    """One can wait for health, completion and the end; what never comes is an error, and so is too late."""
    project.declare("web", check=CheckSpec(form="shell", target=("true",)))
    project.declare("job", "true", oneshot=True)
    with pytest.raises(ServiceError, match="service `job` is not running"):
        project.services.wait("job", until="completed", seconds=5)
    assert project.services.wait(until="stopped")[0].status == "Stopped"
    project.services.start()
    assert project.services.wait("web", seconds=5)[0].health == "healthy"
    assert project.services.wait("job", until="completed", seconds=5)[0].exit_code == 0
    with pytest.raises(ServicesNotReady, match=r"`web` not stopped within 0\.05 s"):
        project.services.wait("web", until="stopped", seconds=0.05)
    project.services.stop()


def test_wait_ends_when_a_service_stops(project, caller):
    """Who waits for the end hears of it, from another process too."""
    project.declare("web")
    (started,) = project.services.start()
    waiting = caller("print('waiting', flush=True); print(services.wait('web', until='stopped')[0].status)")
    assert waiting.stdout.readline() == "waiting\n"
    project.services.stop()
    assert waiting.communicate(timeout=15)[0] == "Stopped\n"
    assert pidfd.open_process(started.pid) is None


def test_changes_are_told_while_a_start_is_under_way(project):
    """A start tells each step of each service, for a display that is live."""
    project.declare("job", "exit 0", oneshot=True)
    project.declare("web", "echo up; exec sleep 1000", check=UP, depends_on={"job": "service_completed_successfully"})
    seen = []
    project.services.start(changed=lambda one: seen.append((one.name, one.status, one.health)))
    steps = {name: [] for name in project.specs}
    for name, *step in seen:
        if steps[name][-1:] != [step]:
            steps[name].append(step)
    assert steps["job"] == [["Pending", None], ["Running", None], ["Completed", None]]
    assert steps["web"] == [["Pending", None], ["Running", "starting"], ["Running", "healthy"]]
    project.services.stop()


LOG = "fix what its log reports; `esker services logs web` shows more of it"
BACKGROUND = (
    "what it left in the background (`sleep`) was ended with it: have it stay in the foreground, without `&` or "
    "`--daemonize`, or say `is-daemon = true`"
)
SILENT = "run the command of `web` by hand in `esker activate`: it wrote nothing to its log"


@pytest.mark.parametrize(
    ("command", "fields", "hint"),
    [
        ("echo boom; exit 3", {}, LOG),
        ("exit 3", {}, SILENT),
        (
            "echo boom; exit 3",
            {"restart": "always", "backoff": 0.001},
            f"service `web` exited with status 3 before it was ready, after N restarts; {LOG}",
        ),
        ("sleep 1000 & sleep 0.2", {"check": CheckSpec(form="shell", target=("false",))}, BACKGROUND),
        (
            "echo up; exec sleep 1000",
            {"check": CheckSpec(form="log", target=("ready",))},
            "log of `web` matches `ready`",
        ),
        (
            "echo up; exec sleep 1000",
            {"check": CheckSpec(form="shell", target=("false",), start_period=0.0, retries=1)},
            f"if the service only needs more time, set a longer `start-period`; else {LOG}",
        ),
    ],
)
def test_each_failed_start_says_what_to_do(project, command, fields, hint):
    """Whatever kept a service from being ready, the error names the service and what to do, or what was found."""
    project.declare("web", command, **fields)
    with pytest.raises((ServiceFailed, ServicesNotReady), match="service `web` ") as caught:
        project.services.start(seconds=1.5)
    assert hint in re.sub("[0-9]+ restarts", "N restarts", caught.value.hint)


def test_a_server_that_has_gone_to_the_background_is_told(project):
    """What a command leaves in the background ends with it: a status that is only `Completed` would not say so."""
    check = CheckSpec(form="shell", target=("true",), start_interval=0.01)
    project.declare("web", "sleep 1000 & sleep 0.5", check=check)
    project.declare("job", "sleep 1000 &", oneshot=True)
    project.services.start()
    status = until(project, lambda one: one.status == "Completed")
    assert status.note == f"`web` has ended, and {BACKGROUND}"
    assert project.services.status("job")[0].note is None
    project.services.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start services as another user")
def test_what_another_users_directory_refuses_is_told_with_the_user_it_ran_as(project):
    """Root's service that may not touch its data is told who it was, and that `user` says who it is."""
    os.mkdir(f"{project.directory}/data", 0o700)
    project.declare("web", "echo x > data/file", user="4242")
    with pytest.raises(ServiceFailed) as caught:
        project.services.start()
    assert caught.value.hint.endswith("it ran as `4242`: set a `user` that has the rights, or give them to this one")


def test_uptime_is_not_the_wall_clocks(project, monkeypatch):
    """A clock that is set back or forward while a service runs does not change for how long it has run."""

    async def nothing(_):
        pass

    async def run():
        log, running = log_file(f"{project.directory}/log"), asyncio.Event()

        def told(service):
            if service.pid:
                running.set()

        spec = ServiceSpec(name="web", command="exec sleep 1000")
        service = ProcessService(spec, Children(asyncio.get_running_loop()), log, told)
        service.begin(spec, RunContext(project.variables, "/"), nothing)
        await running.wait()
        monkeypatch.setattr(time, "time", lambda: 0.0)
        uptime = service.uptime
        await service.stop(0)
        return uptime, service.uptime

    uptime, after = asyncio.run(run())
    assert 0 <= uptime < 60
    assert after is None


def test_too_few_descriptors_are_told_with_the_limit_to_raise(project, caller):
    """The service that found none left is named, what the call started is undone, and nothing hangs."""
    for number in range(20):
        project.declare(f"web{number}")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)); services.start()"
    said = caller(limit).communicate()[1]
    assert re.search(r"cannot start the service `web\d+`: (cannot set up the process: )?too many open files", said)
    assert "hint: raise the limit on open files (`ulimit -n`)" in said
    assert project.processes() == []


def test_a_process_that_has_become_another_users_is_named(project, monkeypatch):
    """As by `sudo`: we may not kill it, so the service cannot be stopped, and whose process it is now is told."""
    monkeypatch.setattr(programs, "_STUBBORN", 0.2)

    async def nothing(_):
        pass

    def refuse(*_):
        raise PermissionError

    async def run():
        running = asyncio.Event()

        def told(service):
            if service.was_ready:
                running.set()

        check = CheckSpec(form="log", target=("up",))
        spec = ServiceSpec(name="web", command="trap '' TERM; echo up; exec sleep 1000", check=check)
        log = log_file(f"{project.directory}/log")
        service = ProcessService(spec, Children(asyncio.get_running_loop()), log, told)
        service.begin(spec, RunContext(project.variables, "/"), nothing)
        await running.wait()
        pid = service.pid
        with monkeypatch.context() as patched:
            patched.setattr(os, "kill", refuse)
            patched.setattr(os, "geteuid", lambda: 65534)
            patched.setattr(process_table, "owner", lambda _: 0)
            await service.stop(0.1)
        failure, state = service.failure, service.state
        await service.stop(0)
        return pid, failure, state, service.state

    pid, failure, state, after = asyncio.run(run())
    assert (state, after) == ("Error", "Stopped")
    assert failure.message == f"service `web` cannot be stopped: pid {pid} does not end when killed"
    assert failure.hint == f"it has become a process of user `root`, who alone can end it: kill {pid}"


def test_a_stop_is_not_lost_between_two_lives(project, monkeypatch):
    """An order to stop that comes while the monitor of a service that has ended is still leaving is obeyed."""

    async def nothing(_):
        pass

    async def run():
        leaving, leave = asyncio.Event(), asyncio.Event()

        async def monitor(*_):
            try:
                await asyncio.Event().wait()
            finally:
                leaving.set()
                await leave.wait()

        monkeypatch.setattr(ProcessService, "_monitor", monitor)
        spec = ServiceSpec(name="web", command="exit 1", has_table=True, restart="always", backoff=0.001)
        log = log_file(f"{project.directory}/log")
        service = ProcessService(spec, Children(asyncio.get_running_loop()), log, lambda _: None)
        service.begin(spec, RunContext(project.variables, "/"), nothing)
        await leaving.wait()
        stop = asyncio.create_task(service.stop(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leave.set()
        await asyncio.wait_for(stop, 5)
        return service.state

    assert asyncio.run(run()) == "Stopped"


def test_a_pending_service_says_what_it_still_waits_for(project):
    """Its status names each dependency with the condition that does not hold yet, and a change of them is told."""
    gate = f"{project.directory}/gate"
    project.declare("prepare", f"until test -e {gate}; do sleep 0.01; done", oneshot=True)
    project.declare("database", check=CheckSpec(form="shell", target=(f"test -e {gate}2",), start_interval=0.01))
    waits = {"prepare": "service_completed_successfully", "database": "service_healthy"}
    project.declare("web", depends_on=waits)
    told = []

    def changed(status):
        if status.name == "web":
            told.append((status.status, dict(status.waits_for)))
            if status.status == "Pending":
                open(gate if len(status.waits_for) > 1 else f"{gate}2", "w").close()

    project.services.start(changed=changed)
    assert told[:2] == [("Pending", waits), ("Pending", {"database": "service_healthy"})]
    assert told[2] == ("Running", {})
    project.services.stop()
