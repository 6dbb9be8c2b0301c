"""What guardian and supervisor cost: memory and CPU beside ten idle services, fifty services at once, and logs."""

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
LOGGED = 2 * ROTATION - 1_000_000  # a log keeps what it has after its first rotation; both files are read
KILOBYTES = 1 << 10  # of a MB
TICK = os.sysconf("SC_CLK_TCK")
LISTENER = "import socket,sys\nlistener=socket.create_server(('127.0.0.1',int(sys.argv[1])))\nwhile 1:listener.accept()"
Services = dict[str, tuple[str, dict[str, Any]]]
"""The command of each, and what Esker adds to it."""


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
            f"Memory and CPU are those of both, beside {IDLE} services that do nothing.",
            "Half of these have a tcp check and half an exec check, every 10 s.",
            "The upper bound counts the interpreter's pages as if no other process had mapped them.",
            f"{MANY} services with an exec check: started until all were healthy, stopped until nothing was left.",
            f"Logs: {WRITERS} services write {LOGGED // 1_000_000} MB each, timed from their start to their end.",
            "Count and checksum of each log were right. By hand each writes to `cat >FILE`.",
        ),
    )


def _idle(space: Workspace, load: Load, count: int, seconds: float) -> tuple[Line, ...]:
    project = declare(space, "idle", idle_services())
    held: list[Memory] = []
    for _ in range(count):
        with client(space, project) as user:
            user.start()
            require_healthy(user, IDLE)
            held.append(memory(record_of(project)))
            require_nothing_left(user, project)
        load.look()
    with client(space, project) as user:
        user.start()
        record = record_of(project)
        begun, deadline = cpu_time(record), time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(5.0, left))
            load.look()
        ended = cpu_time(record)
        require_healthy(user, IDLE)
        after = memory(record)
        require_nothing_left(user, project)
    own, checks = (100 * (end - begin) / seconds for begin, end in zip(begun, ended, strict=True))
    return (
        Line("PSS", "MB", Sample(tuple(found.pss for found in held)), aim=30),
        Line("PSS, upper bound", "MB", Sample(tuple(found.bound for found in held)), aim=30),
        Line(f"PSS, upper bound, after {seconds:g} s", "MB", Sample((after.bound,)), aim=30),
        Line(f"CPU over {seconds:g} s", "%", Sample((own,)), aim=0.2),
        Line(f"CPU over {seconds:g} s with that of the checks", "%", Sample((own + checks,))),
    )


def idle_services() -> Services:
    """Return services that do nothing, half with a tcp and half with an exec check, each at its default of 10 s."""
    found: Services = {}
    for number in range(IDLE // 2):
        port = f"PORT_{number}"
        # The interpreter may lie where root's usual user for services cannot enter; others ignore `user`.
        table = {"user": "root", "ports": {port: 0}, "healthcheck": {"tcp": f"127.0.0.1:${port}"}}
        found[f"tcp{number}"] = (f'exec "{sys.executable}" -I -S -c "{LISTENER}" "${port}"', table)
        found[f"exec{number}"] = ("exec sleep infinity", {"healthcheck": {"test": ["true"]}})
    return found


def _many(space: Workspace, load: Load, count: int) -> tuple[Line, ...]:
    table = {"healthcheck": {"test": ["true"]}}
    project = declare(space, "many", {f"s{number}": ("exec sleep infinity", table) for number in range(MANY)})
    stops: list[Cost] = []

    def start() -> Cost:
        with client(space, project) as user:
            taken = user.start()
            require_healthy(user, MANY)
            stops.append(Cost(0, require_nothing_left(user, project)))
        return Cost(0, taken)

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
            taken = user.start()
            for name in services:
                require_whole(name, summary(log_files(logs / f"{name}.log")), expected)
            require_nothing_left(user, project)
            for name in services:
                for path in log_paths(logs / f"{name}.log"):
                    path.unlink()
            return Cost(0, taken)

        def by_hand() -> Cost:
            taken = space.run("sh", "-c", peer, directory=project)
            for path in project.glob("peer.*"):
                path.unlink()
            return taken

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
    """Return who supervises the services of a project."""
    with closing(RecordFile(str(project / ".flox"))) as file:
        record = file.read()
    if record is None:
        raise RuntimeError(f"no supervisor runs for `{project}`")
    return record


def require_healthy(user: Client, count: int) -> None:
    """Raise RuntimeError unless `count` services are healthy."""
    healthy = [one["name"] for one in user.status() if one["health"] == "healthy"]
    if len(healthy) != count:
        raise RuntimeError(f"{len(healthy)} of {count} services are healthy: {', '.join(healthy)}")


def require_nothing_left(user: Client, project: Path) -> float:
    """Stop the services of a project and return the seconds it took; raises RuntimeError when anything is left."""
    record = record_of(project)
    taken = user.stop()
    if found := left(record):
        raise RuntimeError(f"left of `{project}`: {', '.join(found)}")
    return taken


def left(record: SupervisorRecord) -> list[str]:
    """Return the processes and files that a supervisor has left."""
    token = record.token.encode()
    named = dict([record.guardian, record.supervisor])
    processes = [
        f"{found.pid} ({found.program})"
        for found in process_table.entries()
        if not found.ended
        and (
            named.get(found.pid) == found.start
            or process_table.environment(found.pid).get(b"ESKER_SUPERVISOR") == token
        )
    ]
    files = (record.socket, record.socket.removesuffix(".sock"))
    return processes + [path for path in files if os.path.lexists(path)]


@dataclass(frozen=True)
class Memory:
    """What guardian and supervisor hold, in MB."""

    pss: float
    """Each page counted by its share, which sinks with the number of other processes of the same interpreter."""
    bound: float
    """What `pss` would be with no other process of that interpreter, at most."""


def memory(record: SupervisorRecord) -> Memory:
    """Return what the guardian and supervisor of a record hold together."""
    shares = [_shares(pid) for pid in (record.guardian[0], record.supervisor[0])]
    own = sum(share["Pss"] - share["Pss_File"] for share in shares)
    files = max(share["Rss"] - share["Anonymous"] for share in shares)  # both have mapped the same ones
    return Memory(pss=sum(share["Pss"] for share in shares) / KILOBYTES, bound=(own + files) / KILOBYTES)


def _shares(pid: int) -> Mapping[str, int]:
    """What the kernel adds up of the memory of a process, in KB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        rows = (line.split() for line in file)
        return {row[0].rstrip(":"): int(row[1]) for row in rows if row[-1] == "kB"}


def cpu_time(record: SupervisorRecord) -> tuple[float, float]:
    """Return the seconds of user and system time that guardian and supervisor used, and those of checks that ended."""
    pids = [record.guardian[0], record.supervisor[0]]
    # A process's own clock: utime and stime to the nanosecond, where /proc gives hundredths of a second.
    own = sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)
    with open(f"/proc/{record.supervisor[0]}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return own, (int(fields[13]) + int(fields[14])) / TICK


def log_data() -> bytes:
    """Return what each service writes to its log: lines that no other place has."""
    chance = random.Random(1)
    line = len(b"00000000 ") + 2 * 45 + 1
    return b"".join(b"%08d %s\n" % (number, chance.randbytes(45).hex().encode()) for number in range(LOGGED // line))


def log_paths(path: Path) -> list[Path]:
    """Return the files of a log, the older one first."""
    return [found for found in (path.with_name(f"{path.name}.1"), path) if found.exists()]


def log_files(path: Path) -> Iterable[bytes]:
    """Yield what the files of a log hold."""
    return (found.read_bytes() for found in log_paths(path))


def summary(pieces: Iterable[bytes]) -> tuple[int, int, str]:
    """Return the count of bytes and lines, and the checksum."""
    whole = b"".join(pieces)
    return len(whole), whole.count(b"\n"), hashlib.sha256(whole).hexdigest()


def require_whole(name: str, found: tuple[int, int, str], expected: tuple[int, int, str]) -> None:
    """Raise RuntimeError unless a log holds what was written to it."""
    if found != expected:
        raise RuntimeError(f"the log of `{name}` is not whole: (bytes, lines, sha256) {found}, not {expected}")
