"""Real PostgreSQL under the supervisor, many starts, and a soak: run with `--live services`."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time

import pytest

from esker.errors import PortTaken
from esker.host import pidfd, process_table
from esker.services.specification import CheckSpec

pytestmark = [pytest.mark.live("services"), pytest.mark.slow]

SOAK = float(os.environ.get("ESKER_SOAK_SECONDS", "20"))
STARTS = int(os.environ.get("ESKER_STARTS", "50"))


@pytest.fixture
def postgres(project, free_port):
    """A project with PostgreSQL: a oneshot that makes its data, the server, and a service that needs both."""
    places = ("/usr/lib/postgresql/*/bin/postgres", f"{sysconfig.get_path('purelib')}/**/bin/postgres")
    found = [path for place in places for path in sorted(glob.glob(place, recursive=True))]
    programs = shutil.which("postgres") or next(iter(found), None)
    if programs is None:
        pytest.skip("no `postgres` on PATH, in /usr/lib/postgresql or in a wheel")
    project.paths = (os.path.dirname(os.path.realpath(programs)),)
    port = free_port()
    project.variables |= {
        "PATH": f"{os.path.dirname(programs)}:{os.environ['PATH']}",
        "PGHOST": project.runtime,
        "PGPORT": str(port),
        "PGUSER": "items",
        "PGDATABASE": "postgres",
        "PGDATA": f"{project.dot_flox}/cache/postgres",
    }
    project.declare(
        "files",
        'test -e "$PGDATA/PG_VERSION" || exec initdb -D "$PGDATA" -U items --auth=trust --no-sync',
        oneshot=True,
    )
    project.declare(
        "postgres",
        f'exec postgres -D "$PGDATA" -k "$PGHOST" -p {port}',
        depends_on={"files": "service_completed_successfully"},
        check=CheckSpec(form="shell", target=("pg_isready",)),
        stop_signal="SIGINT",
        stop_grace_period=5.0,
        ports={"PGPORT": port},
    )
    return project


def sql(project, text):
    """Run a statement as a client would."""
    return subprocess.run(
        ["psql", "-XAtqc", text], env=project.variables, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_postgres_starts_is_used_and_stops(postgres):
    """From an empty directory to a database that answers, and then to nothing at all."""
    started = {one.name: one for one in postgres.services.start()}
    assert (started["files"].status, started["postgres"].health) == ("Completed", "healthy")
    assert sql(postgres, "select 1") == "1"
    begun = time.monotonic()
    postgres.services.stop()
    assert time.monotonic() - begun < 5
    assert "database system is shut down" in postgres.services.logs("postgres", 1)[0]


@pytest.mark.parametrize("victim", ["caller", "supervisor", "guardian", "both", "service"])
def test_data_survive_a_kill(postgres, caller, victim):
    """Kill -9 of anybody: within ten seconds nothing runs, the next start works, and what was written is there."""
    process = caller("held = services.lease(); print(flush=True); sys.stdin.read()")
    process.stdout.readline()
    sql(postgres, "create table items (name text); insert into items values ('one')")
    record = postgres.record
    processes = {
        "caller": [(process.pid, None)],
        "supervisor": [record.supervisor],
        "guardian": [record.guardian],
        "both": [record.guardian, record.supervisor],
        "service": [(postgres.services.status("postgres")[0].pid, None)],
    }[victim]
    for pid, start in processes:
        with pidfd.opened(pid, start) as descriptor:
            pidfd.send(descriptor, signal.SIGKILL)
            assert pidfd.wait(descriptor, 10)
    if victim == "service":
        failed = next(one for one in postgres.services.changes() if one.status == "Error")
        assert failed.message == "service `postgres` was ended by SIGKILL"
    elif victim != "both":
        postgres.await_nothing(10)
    with postgres.services.lease():
        assert sql(postgres, "select name from items") == "one"
    if victim == "service":
        process.stdin.close()
        postgres.await_nothing(10)


def test_another_service_that_answers_pg_isready(postgres):
    """Another PostgreSQL on the port answers the check within milliseconds; it is named, and not taken for this one."""
    postgres.services.start()
    port = postgres.variables["PGPORT"]
    postgres.declare(
        "mine",
        f"exec postgres -D /nowhere -p {port}",
        ports={"PGPORT": int(port)},
        check=CheckSpec(form="shell", target=("pg_isready",)),
    )
    with pytest.raises(PortTaken, match=rf"port {port} of `PGPORT` is taken by the service `postgres`"):
        postgres.services.start("mine")
    postgres.services.stop()


@pytest.mark.alone
def test_figures(postgres, capsys):
    """From stopped to healthy, from nothing and with the supervisor running; printed, and within generous bounds."""
    postgres.services.start()
    postgres.services.stop()
    postgres.declare("idle")
    lines = []
    for title, names in (("from nothing", ()), ("supervisor running", ("idle",))):
        if names:
            postgres.services.start(*names)
        taken = []
        for _ in range(7):
            begun = time.perf_counter()
            postgres.services.start("postgres")
            taken.append(time.perf_counter() - begun)
            postgres.services.stop("postgres", "files")
        lines.append(
            f"{title}: median {sorted(taken)[3] * 1000:.0f} ms ({min(taken) * 1000:.0f} - {max(taken) * 1000:.0f})"
        )
    postgres.services.stop()
    report(capsys, *lines)


def report(capsys, *lines):
    """Show figures to whoever runs the live tests."""
    with capsys.disabled():
        sys.stdout.write("".join(f"\n  {line}" for line in lines))


def facts(pid):
    """The descriptors, and the resident memory in KB, of a process."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        memory = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return len(os.listdir(f"/proc/{pid}/fd")), memory


@pytest.mark.alone
def test_many_starts_and_stops_leak_nothing(project, caller, capsys):
    """200 starts and stops, 20 processes at once: the supervisor holds no more afterwards than after the first ten."""
    project.declare("kept")
    for number in range(10):
        project.declare(f"s{number}", "echo up; exec sleep 1000", check=CheckSpec(form="log", target=("up",)))
    project.services.start("kept")
    supervisor = project.record.supervisor[0]
    code = "for n in range(10):\n with services.lease(f's{(int(sys.argv[1]) + n) % 10}'): pass"

    def round_of(processes):
        running = [caller(code, str(number)) for number in range(processes)]
        for process in running:
            assert process.communicate(timeout=60)[1] == ""

    round_of(4)
    before = facts(supervisor)
    round_of(20)
    after = facts(supervisor)
    report(capsys, f"descriptors {before[0]} -> {after[0]}, PSS {before[1]} -> {after[1]} KB")
    assert after[0] <= before[0]
    assert after[1] < before[1] + 1500
    assert {one.name for one in project.services.status() if one.status != "Stopped"} == {"kept"}
    project.services.stop()


def test_many_starts_from_nothing(project):
    """Each of 50 starts (or ESKER_STARTS) makes a supervisor and a guardian, and each stop leaves neither."""
    project.declare("web")
    for _ in range(STARTS):
        with project.services.lease():
            pass
        assert not os.path.exists(project.site.socket)
    assert project.processes() == []


@pytest.mark.alone
def test_soak(postgres, caller, capsys):
    """For 20 s (or ESKER_SOAK_SECONDS) everything at once: users come, go and are killed, services die and flood."""
    import random

    chance = random.Random(1)
    postgres.declare("flood", "while :; do echo a line that nobody wants; done")
    postgres.declare(
        "dying",
        "sleep 0.05; exit 1",
        restart="always",
        backoff=0.01,
        check=CheckSpec(form="shell", target=("true",), start_interval=0.01, interval=0.1),
    )
    postgres.declare("forking", "for n in 1 2 3 4 5 6 7 8 9 10; do (setsid sleep 1000 &); done; sleep 1000")
    postgres.services.start()
    sql(postgres, "create table items (name text)")
    supervisor, guardian = (pid for pid, _ in (postgres.record.supervisor, postgres.record.guardian))
    hold = "held = services.lease(*sys.argv[1:]); print(flush=True); sys.stdin.read()"
    users, first, count = [], None, 0
    deadline = time.monotonic() + SOAK
    while time.monotonic() < deadline:
        names = chance.sample(["files", "flood", "forking", "postgres"], 2)
        users.append(caller(hold, *names))
        users[-1].stdout.readline()
        if len(users) > 3:
            chance.choice([subprocess.Popen.kill, subprocess.Popen.terminate])(users.pop(0))
        sql(postgres, f"insert into items values ('{count}')")
        count += 1
        chance.choice(
            [
                lambda: postgres.services.restart("flood"),
                lambda: postgres.services.stop("forking"),
                lambda: postgres.services.start("forking"),
                lambda: postgres.services.logs("flood", 10),
                postgres.services.status,
            ]
        )()
        first = first or (facts(supervisor) if count == 10 else None)
    last = facts(supervisor)
    report(capsys, f"{count} rounds; descriptors and PSS: supervisor {first} -> {last}, guardian {facts(guardian)}")
    assert sql(postgres, "select count(*) from items") == str(count)
    assert last[1] < first[1] + 3000
    assert len([found for found in postgres.processes() if found.program == "esker-services"]) == 1
    for user in users:
        user.kill()
    postgres.services.stop()
    postgres.await_nothing(10)
    assert process_table.entry(supervisor) is None
