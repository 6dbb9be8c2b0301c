"""What guardian and supervisor cost: memory and CPU while ten services idle, fifty services at once, and logs."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tomlkit

from bench.client import Client, client
from bench.machine import Load, machine
from bench.measure import Cost, Sample, rounds
from bench.projects import MANIFEST
from bench.report import Figure, Line, ratio, wall
from bench.workspace import ESKER, Workspace, workspace
from esker.host import process_table
from esker.services.supervised.logs import ROTATION
from esker.services.supervised.supervisor_record import RecordFile, SupervisorRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

IDLE = 10
MANY = 50
WRITERS = 10
LOGGED = 2 * ROTATION - 1_000_000  # bytes for each log: enough for one rotation, which loses nothing yet
KILOBYTES = 1 << 10  # in a MB
TICK = os.sysconf("SC_CLK_TCK")
LISTENER = "import socket,sys\nlistener=socket.create_server(('127.0.0.1',int(sys.argv[1])))\nwhile 1:listener.accept()"
Services = dict[str, tuple[str, dict[str, Any]]]
"""For each service, its command and its table under `[plugins.esker.services]`."""


def figure(count: int, seconds: float = 60) -> Figure:
    """Measure `count` rounds, and the CPU time of idle services over `seconds`."""
    load = Load()
    with workspace() as space:
        space.directory.chmod(0o711)  # root's services run as another user
        idle = _idle(space, load, count, seconds)
        many = _many(space, load, count)
        logs = _logs(space, load, count)
        described = machine(space.uv)
    return Figure(
        name="supervisor",
        title="guardian and supervisor: what they hold and use, many services, and logs",
        machine=described,
        load=load.highest,
        lines=(*idle, *many, *logs),
        notes=(
            f"Memory and CPU are those of both together, while {IDLE} services do nothing.",
            "Half of these have a tcp check and half an exec check, every 10 s.",
            "The upper bound counts the interpreter's pages as if no other process had mapped them.",
            f"{MANY} services have an exec check. A start ends when all are healthy, a stop when nothing is left.",
            f"Logs: {WRITERS} services write {LOGGED // 1_000_000} MB each, timed from their start to their end.",
            "The size and checksum of each log were right. By hand, each service writes to `cat >FILE`.",
        ),
    )


def _idle(space: Workspace, load: Load, count: int, seconds: float) -> tuple[Line, ...]:
    project = declare(space, "idle", idle_services())
    memories: list[Memory] = []
    for _ in range(count):
        with client(space, project) as user:
            user.start()
            require_healthy(user, IDLE)
            memories.append(memory(record_of(project)))
            require_nothing_left(user, project)
        load.look()
    with client(space, project) as user:
        user.start()
        record = record_of(project)
        begun, deadline = cpu_time(record), time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            time.sleep(min(5.0, remaining))
            load.look()
        ended = cpu_time(record)
        require_healthy(user, IDLE)
        after = memory(record)
        require_nothing_left(user, project)
    own, checks = (100 * (end - begin) / seconds for begin, end in zip(begun, ended, strict=True))
    return (
        Line("PSS", "MB", Sample(tuple(each.pss for each in memories)), aim=30),
        Line("PSS, upper bound", "MB", Sample(tuple(each.bound for each in memories)), aim=30),
        Line(f"PSS, upper bound, after {seconds:g} s", "MB", Sample((after.bound,)), aim=30),
        Line(f"CPU over {seconds:g} s", "%", Sample((own,)), aim=0.2),
        Line(f"CPU over {seconds:g} s with that of the checks", "%", Sample((own + checks,))),
    )


def idle_services() -> Services:
    """Return services that do nothing, half with a tcp check and half with an exec check, each every 10 s (default)."""
    services: Services = {}
    for number in range(IDLE // 2):
        port = f"PORT_{number}"
        # If root runs this, services get another user, who may be unable to reach the interpreter. If anybody else
        # runs it, `user` is ignored.
        table = {"user": "root", "ports": {port: 0}, "healthcheck": {"tcp": f"127.0.0.1:${port}"}}
        services[f"tcp{number}"] = (f'exec "{sys.executable}" -I -S -c "{LISTENER}" "${port}"', table)
        services[f"exec{number}"] = ("exec sleep infinity", {"healthcheck": {"test": ["true"]}})
    return services


def _many(space: Workspace, load: Load, count: int) -> tuple[Line, ...]:
    table = {"healthcheck": {"test": ["true"]}}
    project = declare(space, "many", {f"s{number}": ("exec sleep infinity", table) for number in range(MANY)})
    stops: list[Cost] = []

    def start() -> Cost:
        with client(space, project) as user:
            seconds = user.start()
            require_healthy(user, MANY)
            stops.append(Cost(0, require_nothing_left(user, project)))
        return Cost(0, seconds)

    starts = rounds({"start": start}, count, after=load.look)
    return (
        wall(f"services.start() of {MANY}, from nothing", starts["start"]),
        wall(f"services.stop() of {MANY}, to nothing", stops[1:]),
    )


def _logs(space: Workspace, load: Load, count: int) -> tuple[Line, ...]:
    services: Services = {f"log{number}": ("exec cat data", {"type": "oneshot"}) for number in range(WRITERS)}
    project = declare(space, "logs", services)
    expected = summary([log_data()])
    (project / "data").write_bytes(log_data())
    logs = project / ".flox" / "log" / "services"
    peer = f"for n in $(seq {WRITERS}); do cat data | cat >peer.$n & done; wait"
    with client(space, project) as user:

        def esker() -> Cost:
            seconds = user.start()
            for name in services:
                require_whole(name, summary(log_files(logs / f"{name}.log")), expected)
            require_nothing_left(user, project)
            for name in services:
                for path in log_paths(logs / f"{name}.log"):
                    path.unlink()
            return Cost(0, seconds)

        def by_hand() -> Cost:
            cost = space.run("sh", "-c", peer, directory=project)
            for path in project.glob("peer.*"):
                path.unlink()
            return cost

        costs = rounds({"esker": esker, "by hand": by_hand}, count, after=load.look)
    ours, theirs = (
        Line(title, "MB/s", Sample(tuple(WRITERS * LOGGED / 1e6 / cost.wall for cost in costs[key])))
        for key, title in (("esker", "logs through the supervisor"), ("by hand", "logs by hand"))
    )
    return ours, theirs, ratio(ours, theirs)


def declare(space: Workspace, name: str, services: Services) -> Path:
    """Make a project that declares services and nothing else."""
    project = space.directory / name
    project.mkdir()
    space.run(ESKER, "init", "--bare", "-d", project)
    declared = {
        "schema-version": "1.14.0",
        "services": {name: {"command": command} for name, (command, _) in services.items()},
        "plugins": {"esker": {"services": {name: table for name, (_, table) in services.items()}}},
    }
    (project / MANIFEST).write_text(tomlkit.dumps(declared), encoding="utf-8")
    return project


def record_of(project: Path) -> SupervisorRecord:
    """Return the record of the supervisor that runs for a project; raise RuntimeError if none runs."""
    with closing(RecordFile(str(project / ".flox"))) as file:
        record = file.read()
    if record is None:
        raise RuntimeError(f"no supervisor runs for `{project}`")
    return record


def require_healthy(user: Client, count: int) -> None:
    """Raise RuntimeError unless `count` services are healthy."""
    healthy = [service["name"] for service in user.status() if service["health"] == "healthy"]
    if len(healthy) != count:
        raise RuntimeError(f"{len(healthy)} of {count} services are healthy: {', '.join(healthy)}")


def require_nothing_left(user: Client, project: Path) -> float:
    """Stop the services of a project and return the seconds it took; raise RuntimeError if anything is left."""
    record = record_of(project)
    seconds = user.stop()
    if remains := left(record):
        raise RuntimeError(f"stopping the services of `{project}` left behind: {', '.join(remains)}")
    return seconds


def left(record: SupervisorRecord) -> list[str]:
    """Return the processes and files of a supervisor that are still there."""
    token = record.token.encode()
    named = dict([record.guardian, record.supervisor])
    processes = [
        f"{process.pid} ({process.program})"
        for process in process_table.entries()
        if not process.ended
        and (
            named.get(process.pid) == process.start
            or process_table.environment(process.pid).get(b"ESKER_SUPERVISOR") == token
        )
    ]
    files = (record.socket, record.socket.removesuffix(".sock"))
    return processes + [path for path in files if os.path.lexists(path)]


@dataclass(frozen=True)
class Memory:
    """The memory of guardian and supervisor together, in MB."""

    pss: float
    """The proportional set size: a page that n processes share counts as 1/n, so other Pythons make it smaller."""
    bound: float
    """The most that `pss` could be if no other process ran the same interpreter."""


def memory(record: SupervisorRecord) -> Memory:
    """Return the memory of the guardian and supervisor of a record."""
    shares = [_shares(pid) for pid in (record.guardian[0], record.supervisor[0])]
    own = sum(share["Pss"] - share["Pss_File"] for share in shares)
    files = max(share["Rss"] - share["Anonymous"] for share in shares)  # both map the same files, so count them once
    return Memory(pss=sum(share["Pss"] for share in shares) / KILOBYTES, bound=(own + files) / KILOBYTES)


def _shares(pid: int) -> Mapping[str, int]:
    """Return the kernel's sums for the memory of a process, in KB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        rows = (line.split() for line in file)
        return {row[0].rstrip(":"): int(row[1]) for row in rows if row[-1] == "kB"}


def cpu_time(record: SupervisorRecord) -> tuple[float, float]:
    """Return the CPU seconds, user and system, of guardian and supervisor, and those of all checks that have ended."""
    pids = [record.guardian[0], record.supervisor[0]]
    # This is the id of a process's CPU clock (see clock_getcpuclockid), which counts nanoseconds. /proc would only give
    # hundredths of a second.
    own = sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)
    with open(f"/proc/{record.supervisor[0]}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return own, (int(fields[13]) + int(fields[14])) / TICK


def log_data() -> bytes:
    """Return what each service writes to its log; every line is different, so that no loss goes unnoticed."""
    chance = random.Random(1)
    line = len(b"00000000 ") + 2 * 45 + 1
    return b"".join(b"%08d %s\n" % (number, chance.randbytes(45).hex().encode()) for number in range(LOGGED // line))


def log_paths(path: Path) -> list[Path]:
    """Return the files of a log, the older one first."""
    return [file for file in (path.with_name(f"{path.name}.1"), path) if file.exists()]


def log_files(path: Path) -> Iterable[bytes]:
    """Yield the contents of the files of a log."""
    return (file.read_bytes() for file in log_paths(path))


def summary(pieces: Iterable[bytes]) -> tuple[int, int, str]:
    """Return the number of bytes, the number of lines, and the SHA-256."""
    whole = b"".join(pieces)
    return len(whole), whole.count(b"\n"), hashlib.sha256(whole).hexdigest()


def require_whole(name: str, found: tuple[int, int, str], expected: tuple[int, int, str]) -> None:
    """Raise RuntimeError unless a log holds what was written to it."""
    if found != expected:
        raise RuntimeError(f"the log of `{name}` is not whole: (bytes, lines, sha256) {found}, not {expected}")
