"""Who uses services: leases that end with their process, the kept mark, and an order to stop that names the users."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from esker.errors import ServiceError, ServiceFailed
from esker.host import pidfd, process_table
from esker.services.chamber import ServiceUser

HOLD = "held = services.lease({names}); print(held.statuses[0].pid, flush=True); sys.stdin.read()"


def hold(caller, *names):
    """A process that holds a lease until its input ends, and the pid of the first service."""
    process = caller(HOLD.format(names=", ".join(map(repr, names))))
    return process, int(process.stdout.readline())


def test_a_block_holds_services_and_leaves_nothing(project):
    """In the block the services run, for this process; after it nothing is left."""
    project.declare("web")
    with project.services.lease() as held:
        assert held.statuses[0].ready
        (found,) = project.services.status()
        assert (found.status, found.kept, found.users) == ("Running", False, (os.getpid(),))
    assert project.processes() == []
    held.release()


def test_the_last_user_stops_them(project, caller):
    """Two processes and a block share one service; it runs until the last of them has left."""
    project.declare("db")
    first, pid = hold(caller)
    second, same = hold(caller, "db")
    with project.services.lease() as held:
        assert {pid, same, held.statuses[0].pid} == {pid}
        assert project.services.status()[0].users == tuple(sorted((first.pid, second.pid, os.getpid())))
        first.stdin.close()
        first.wait()
        second.kill()
        second.wait()
        while project.services.status()[0].users != (os.getpid(),):
            pass
        assert project.services.status()[0].pid == pid
    assert project.processes() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_user_that_is_killed_leaves_nothing(project, caller, number):
    """A lease ends with its process however that ends."""
    project.declare("db")
    process, pid = hold(caller)
    with pidfd.opened(pid) as service:
        process.send_signal(number)
        process.wait()
        assert pidfd.wait(service, 10)
    project.await_nothing()


def test_a_descriptor_that_outlives_its_user_holds_nothing(project, caller):
    """A daemonised grandchild that has every descriptor of the user keeps no service alive."""
    project.declare("db")
    code = (
        "held = services.lease(); import subprocess\n"
        "child = subprocess.Popen(['sleep', '1000'], close_fds=False, start_new_session=True, stdout=2)\n"
        "print(child.pid, flush=True); sys.stdin.read(); os._exit(0)"
    )
    process = caller(code)
    grandchild = int(process.stdout.readline())
    try:
        process.stdin.close()
        process.wait()
        project.await_nothing()
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_kept_services_outlive_their_users(project):
    """What `start` has marked kept is not stopped by the end of a lease, whichever came first."""
    project.declare("db")
    project.declare("api", depends_on={"db": "service_started"})
    project.services.start("db")
    with project.services.lease("api"):
        assert [one.kept for one in project.services.status()] == [False, True]
    assert [one.status for one in project.services.status()] == ["Stopped", "Running"]
    with project.services.lease("api"):
        project.services.start("api")
    assert [one.status for one in project.services.status()] == ["Running", "Running"]
    project.services.stop()


def test_a_lease_holds_what_its_services_depend_on(project, caller):
    """A database that one user asked for, and another's service needs, runs until both have left."""
    project.declare("db")
    project.declare("api", depends_on={"db": "service_started"})
    process, _ = hold(caller, "api")
    with project.services.lease("db"):
        pass
    assert [one.status for one in project.services.status()] == ["Running", "Running"]
    with project.services.lease("db"):
        with pidfd.opened(project.services.status("api")[0].pid) as api:
            process.kill()
            assert pidfd.wait(api, 10)
        assert project.services.status("db")[0].status == "Running"


def test_stop_names_who_used_it(project, caller):
    """An order to stop wins over every lease and mark, and says whose services it took, but not the caller's own."""
    project.declare("db")
    project.declare("other")
    process, _ = hold(caller)
    with project.services.lease("db"):
        project.services.start("db")
        done = project.services.stop("db")
        program = process_table.entry(process.pid).program
        assert (done.stopped, done.users) == (("db",), (ServiceUser(service="db", pid=process.pid, program=program),))
        assert [one.status for one in project.services.status()] == ["Stopped", "Running"]
    assert project.services.status("db")[0].status == "Stopped"
    process.kill()
    project.await_nothing()


def test_a_lease_for_another_process(project):
    """A shell's pid can hold the lease; that of a process which has ended cannot, and starts nothing."""
    project.declare("db")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as shell:
        held = project.services.lease(pid=shell.pid)
        assert project.services.status()[0].users == (shell.pid,)
        shell.stdin.close()
        project.await_nothing()
        held.release()
    with pytest.raises(ServiceError, match=f"there is no process {shell.pid}"):
        project.services.lease(pid=shell.pid)


def test_a_failed_lease_holds_nothing(project):
    """A lease that could not be had leaves what others use and nothing else."""
    project.declare("db")
    project.declare("api", "exit 1", depends_on={"db": "service_started"})
    with project.services.lease("db"):
        with pytest.raises(ServiceFailed, match="service `api` exited with status 1"):
            project.services.lease("api")
        assert [one.status for one in project.services.status()] == ["Stopped", "Running"]
    assert project.processes() == []


def test_a_child_of_the_user_releases_nothing(project):
    """A forked child that leaves the block does not take the services from its parent."""
    project.declare("db")
    with project.services.lease() as held:
        child = os.fork()
        if child == 0:
            held.release()
            os._exit(0)
        os.waitpid(child, 0)
        assert project.services.status()[0].status == "Running"


FIFTY = """
go, ready = os.pipe()
for _ in range(50):
    if os.fork() == 0:
        os.close(ready)
        os.read(go, 1)  # ends when the parent closes its side: all begin at once
        with services.lease() as held:
            print(held.statuses[0].pid, flush=True)
            sys.stdin.read()
        os._exit(0)
os.close(ready)
print(sum(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(50)), flush=True)
"""


@pytest.mark.slow
def test_fifty_at_once_share_one_supervisor(project, caller):
    """Fifty processes that start at the same moment meet in one supervisor and one service; the last one stops it."""
    project.declare("db", "echo up; exec sleep 1000")
    process = caller(FIFTY)
    assert len({process.stdout.readline() for _ in range(50)}) == 1
    assert len(project.services.status()[0].users) == 50
    assert project.services.logs("db") == ["up"]
    assert len([found for found in project.processes() if found.program == "esker-services"]) == 1
    process.stdin.close()
    assert process.stdout.readline() == "0\n"
    assert project.processes() == []
