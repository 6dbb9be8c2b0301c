"""PostgreSQL and Valkey from stopped to healthy and back: under the supervisor, and the two binaries by hand."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import string
import subprocess
import time
import tomllib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench.client import Client, client
from bench.machine import Load, machine
from bench.measure import Cost, rounds
from bench.projects import MANIFEST, copy_example
from bench.report import Figure, difference, ratio, wall
from bench.workspace import ESKER, Workspace, workspace
from esker.host import prctl
from esker.host.accounts import give_directory
from esker.host.spawn import Identity, assume
from esker.services.supervised import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SERVERS = ("postgres", "cache")
STARTED = ("files", *SERVERS)  # the oneshot `files`, on which the servers depend, makes a missing data directory
POLL = 0.005
LONGEST = 60.0
IDLE = '\n[services.idle]\ncommand = "exec sleep infinity"\n'
Stops = dict[str, list[Cost]]
"""What it cost to stop each subject, in the order of the rounds."""


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with workspace() as space:
        space.directory.chmod(0o711)  # root's services run as another user
        project = copy_example(space.directory / "items", scripts=True)
        with (project / MANIFEST).open("a", encoding="utf-8") as file:
            file.write(IDLE)
        with client(space, project) as user:
            user.start(*SERVERS)
            user.stop()
            servers = by_hand(project, user, space.directory)
            stops: Stops = {}
            starts = rounds(
                {
                    "by hand": partial(_by_hand, servers, stops),
                    "running": partial(_running, user, stops),
                    "nothing": partial(_from_nothing, user, stops),
                    "command running": partial(_command_running, space, project, user, stops),
                    "command nothing": partial(_command_from_nothing, space, project, stops),
                },
                count,
                after=load.look,
            )
        described = machine(space.uv)
    stopped = {key: costs[1:] for key, costs in stops.items()}  # the first round warms up
    hand, running = wall("start by hand", starts["by hand"]), wall("services.start()", starts["running"])
    end_by_hand, end = wall("stop by hand", stopped["by hand"]), wall("services.stop()", stopped["running"])
    return Figure(
        name="services",
        title="PostgreSQL and Valkey of examples/items, from stopped to healthy; the data directory is there",
        machine=described,
        load=load.highest,
        lines=(
            hand,
            running,
            difference(running, hand, aim=20),
            ratio(running, hand, aim=1.5),
            wall("services.start() from nothing", starts["nothing"], aim=350),
            wall("esker services start", starts["command running"]),
            wall("esker services start, from nothing", starts["command nothing"], aim=350),
            end_by_hand,
            end,
            difference(end, end_by_hand),
            wall("services.stop() to nothing", stopped["nothing"]),
            wall("esker services stop", stopped["command running"]),
            wall("esker services stop, to nothing", stopped["command nothing"]),
        ),
        notes=(
            "From nothing, to nothing: no supervisor runs before, or after. Elsewhere it runs, for another service.",
            "Esker runs the oneshot `files` and the activation's hook each time, which starting by hand does not.",
            f"By hand, pg_isready and a connection to Valkey ask every {POLL * 1000:g} ms whether they are ready.",
            "It is enough if either the difference from the start by hand or the ratio to it meets its aim.",
        ),
    )


def _running(user: Client, stops: Stops) -> Cost:
    user.start("idle")
    seconds = user.start(*SERVERS)
    _stopped(stops, "running", user.stop(*STARTED))
    user.stop()
    return Cost(0, seconds)


def _from_nothing(user: Client, stops: Stops) -> Cost:
    seconds = user.start(*SERVERS)
    _stopped(stops, "nothing", user.stop())
    return Cost(0, seconds)


def _command_running(space: Workspace, project: Path, user: Client, stops: Stops) -> Cost:
    user.start("idle")
    cost = space.run(ESKER, "services", "start", *SERVERS, "-d", project)
    _stopped(stops, "command running", space.run(ESKER, "services", "stop", *STARTED, "-d", project).wall)
    user.stop()
    return cost


def _command_from_nothing(space: Workspace, project: Path, stops: Stops) -> Cost:
    cost = space.run(ESKER, "services", "start", *SERVERS, "-d", project)
    _stopped(stops, "command nothing", space.run(ESKER, "services", "stop", "-d", project).wall)
    return cost


def _by_hand(servers: ByHand, stops: Stops) -> Cost:
    started, stopped = servers.run()
    _stopped(stops, "by hand", stopped)
    return Cost(0, started)


def _stopped(stops: Stops, subject: str, seconds: float) -> None:
    """Add what stopping a subject cost, which `rounds` does not return."""
    stops.setdefault(subject, []).append(Cost(0, seconds))


@dataclass(frozen=True)
class ByHand:
    """The two servers as a person would start them without Esker: the same programs, settings, data and user."""

    commands: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, str]
    identity: Identity | None
    log: Path
    """The file to which both servers write their messages."""

    def run(self) -> tuple[float, float]:
        """Start both, wait until they answer, stop them; return the seconds that starting and stopping took."""
        begun = time.perf_counter()
        running = {name: self._start(words) for name, words in self.commands.items()}
        try:
            waiting: dict[str, Callable[[], bool]] = {"cache": self._cache_answers, "postgres": self._postgres_answers}
            while waiting := {name: answers for name, answers in waiting.items() if not answers()}:
                for name, process in running.items():
                    if process.poll() is not None:
                        raise RuntimeError(f"`{name}` ended with status {process.returncode}:\n{self.log.read_text()}")
                if time.perf_counter() - begun > LONGEST:
                    raise RuntimeError(f"no answer from {', '.join(waiting)} within {LONGEST:g} s")
                time.sleep(POLL)
            ready = time.perf_counter()
            running["postgres"].send_signal(signal.SIGINT)
            running["cache"].terminate()
            for process in running.values():
                process.wait(LONGEST)
            return ready - begun, time.perf_counter() - ready
        finally:
            for process in running.values():
                process.kill()
                process.wait()

    def _start(self, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
        become = partial(assume, self.identity) if self.identity else None
        with self.log.open("a") as log:
            return subprocess.Popen(
                words,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=become,  # noqa: PLW1509  (this process has one thread)
            )

    def _cache_answers(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", int(self.variables["VALKEY_PORT"]))) == 0

    def _postgres_answers(self) -> bool:
        return subprocess.run(["pg_isready", "--quiet"], env=self.variables, check=False).returncode == 0


def by_hand(project: Path, user: Client, directory: Path) -> ByHand:
    """Return the servers of a project, to start by hand; their sockets and their log go below `directory`."""
    sockets = directory / "sockets"
    site = user.site()
    variables = user.variables()
    link = variables["FLOX_ENV"]
    paths = (site["dot_flox"], os.path.dirname(os.path.realpath(link)), os.path.realpath(f"{link}/bin/python"))
    choice = identity.choose("postgres", None, site["project"], paths)
    environment = {**choice.variables(variables), "PGHOST": str(sockets)}
    declared = tomllib.loads((project / MANIFEST).read_text(encoding="utf-8"))["services"]
    sockets.mkdir()
    if choice.identity:
        give_directory(str(sockets), choice.identity)
        prctl.load()
    commands = {name: command_words(declared[name]["command"], environment) for name in SERVERS}
    return ByHand(commands, environment, choice.identity, directory / "servers.log")


def command_words(command: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of a command, with variables replaced; the command must be a single `exec PROGRAM ...`."""
    shell_word, *words = shlex.split(string.Template(command).substitute(variables))
    if shell_word != "exec":
        raise ValueError(f"`{command}` does more than `exec` a single program")
    return tuple(words)
