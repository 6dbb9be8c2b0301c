"""Rounds of a project with real servers, in each of which a random process is killed at a random moment.

A round starts the services, and a client writes rows and notes which of them were acknowledged. After the kill come
the commands that a person runs next. The seed and the number of a round decide whom it kills, and when; only the
machine's own timing differs between two runs of one round.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.host import process_table
from esker.host.process_id import ProcessId
from tests.faults.servers import CLIENT, PATIENCE, Servers, Spoken
from tests.support.kills import kill_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MODES", "VICTIMS", "Plan", "Rounds"]

MODES = ("start", "activate", "stop")
"""What is disturbed: `services start` and a client after it, `activate -s -- CLIENT`, or `services stop`."""
VICTIMS = ("command", "supervisor", "guardian", "both", "server", "client")
_NEXT = (
    "services status",
    "services start",
    "services stop",
    "services restart",
    "activate -s -- true",
    "activate -- true",
)
_CLEANING = set(_NEXT) - {"activate -- true"}
"""The next commands that have to do with services: after them no process of a killed supervisor is left."""
_MOMENTS = (0.05, 0.3, 1.2)
"""Greatest delays of a kill, in seconds, after its victim has been seen; one of them is taken."""
_GRACE = 10.0
"""Seconds within which all processes have to end that nobody waits for."""
_NEVER = ("rm -", "kill -9", "Traceback", "met a fault")


class Plan(NamedTuple):
    """What happens in a round."""

    mode: str
    victim: str
    delay: float
    next: str

    def __str__(self) -> str:
        return f"{self.mode}, kill of {self.victim} after {self.delay:.3f} s, then `{self.next}`"


class _Client:
    """A client that writes, and the rows that were acknowledged to it."""

    def __init__(self, process: subprocess.Popen[str], acknowledged: set[str]) -> None:
        self.process = process
        self._acknowledged = acknowledged
        self._errors: list[str] = []
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._listen)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n") and line.startswith(("postgres ", "valkey ")):
                self._acknowledged.add(line.strip())

    def _listen(self) -> None:
        assert self.process.stderr is not None
        self._errors.append(self.process.stderr.read())

    def end(self, line: str) -> Spoken:
        """Let it end, and return what it said; the status is None if it had to be killed."""
        streams = [one for one in (self.process.stdin, self.process.stdout, self.process.stderr) if one is not None]
        with suppress(OSError):
            streams[0].close()
        status: int | None
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = None
        for thread in self._threads:
            thread.join(_GRACE)
        if not any(thread.is_alive() for thread in self._threads):  # else something else still holds the other end
            for stream in streams[1:]:
                stream.close()
        return Spoken(line, status, "", "".join(self._errors))


class Rounds:
    """Rounds on one set of servers, whose rows stay from round to round."""

    def __init__(self, servers: Servers, seed: str) -> None:
        self._servers = servers
        self._seed = seed
        self._acknowledged: set[str] = set()
        self._first = 1
        self._spoken: list[Spoken] = []
        self.kills = 0
        """Rounds in which the victim was there to be killed."""
        for mode in MODES:
            self._scenario(mode, None)
        self._put_away()
        self._usual = servers.files()
        assert not servers.processes()

    @property
    def rows(self) -> int:
        """How many rows were acknowledged so far."""
        return len(self._acknowledged)

    def plan(self, number: int) -> Plan:
        """Return what happens in a round."""
        chance = random.Random(f"{self._seed} {number}")
        delay = chance.uniform(0, chance.choice(_MOMENTS))
        return Plan(chance.choice(MODES), chance.choice(VICTIMS), delay, chance.choice(_NEXT))

    def faults(self, number: int) -> Iterator[str]:
        """Make a round and yield what was wrong in it."""
        plan = self.plan(number)
        for fault in self._faults(plan):
            yield f"round {number} of seed {self._seed} ({plan}): {fault}"

    def _faults(self, plan: Plan) -> Iterator[str]:
        self._spoken.clear()
        killer = _Killer(self._servers, plan)
        self._scenario(plan.mode, killer)
        killer.stop()
        self.kills += killer.has_killed
        disturbed = list(self._spoken)
        supervision_ended = killer.has_killed and plan.victim in {"supervisor", "guardian", "both"}
        before = self._servers.processes() if supervision_ended else {}
        after = self._say(*plan.next.split())
        if plan.next in _CLEANING:
            for process in before.keys() & self._servers.processes().keys():
                yield f"still runs after `{plan.next}`: {before[process][:90]}"
        yield from _wrong([after], must_succeed=plan.next != "services status")
        yield from self._lost()
        self._put_away()
        yield from _wrong(disturbed, must_succeed=False)
        yield from self._left()

    def _scenario(self, mode: str, killer: _Killer | None) -> None:
        """Start the services, write rows, and stop the services if the mode is `stop`."""
        if mode == "activate":
            client = self._client("activate", "-s")
            self._disturb(killer, client.process, client)
            self._spoken.append(client.end("activate -s -- CLIENT"))
            return
        start = self._servers.begin("services", "start")
        if killer and mode == "start":
            killer.begin(start.pid)
        started = self._servers.ended(start, "services start")
        self._spoken.append(started)
        if started.status != 0:
            return
        client = self._client("activate")
        if mode == "stop":
            self._await_rows(client)
            stop = self._servers.begin("services", "stop")
            if killer:
                killer.begin(stop.pid)
            self._spoken.append(self._servers.ended(stop, "services stop"))
        elif killer:
            killer.await_end()
        else:
            self._await_rows(client)
        self._spoken.append(client.end("activate -- CLIENT"))

    def _disturb(self, killer: _Killer | None, command: subprocess.Popen[str], client: _Client) -> None:
        if killer:
            killer.begin(command.pid)
            killer.await_end()
        else:
            self._await_rows(client)

    def _client(self, *how: str) -> _Client:
        first, self._first = self._first, self._first + 1000
        process = self._servers.begin(*how, "--", "python", "-I", CLIENT, "write", str(first))
        return _Client(process, self._acknowledged)

    def _await_rows(self, client: _Client) -> None:
        """Wait until some rows of the newest client were acknowledged, or the client has ended."""
        wanted, end = f"valkey {self._first - 1000 + 20}", time.monotonic() + 60
        while wanted not in self._acknowledged and client.process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)

    def _lost(self) -> Iterator[str]:
        """Start again, and yield what does not work and which acknowledged rows are not there."""
        started, read = self._say("services", "start"), None
        if started.status == 0:
            read = self._say("activate", "--", "python", "-I", CLIENT, "read")
            lost = self._acknowledged - set(read.out.splitlines())
            if lost and read.status == 0:
                yield f"{len(lost)} acknowledged rows are lost, such as {min(lost)}"
                self._acknowledged -= lost
        yield from _wrong([said for said in (started, read) if said], must_succeed=True)

    def _put_away(self) -> None:
        self._say("services", "stop")

    def _left(self) -> Iterator[str]:
        """Yield what is left after everything was stopped; remove it, so that the next round begins clean."""
        for line in self._servers.await_no_process(_GRACE).values():
            yield f"left at the end: {line[:90]}"
        self._servers.end_all()
        files = self._servers.files()
        if more := files - self._usual:
            yield f"files left: {' '.join(sorted(more)[:4])}"
        if fewer := self._usual - files:
            yield f"files missing: {' '.join(sorted(fewer)[:4])}"
        self._usual = files

    def _say(self, *arguments: str) -> Spoken:
        said = self._servers.esker(*arguments)
        self._spoken.append(said)
        return said


class _Killer:
    """Waits in a thread of its own until its victim is there, then for the delay, and kills it."""

    def __init__(self, servers: Servers, plan: Plan) -> None:
        self._servers = servers
        self._plan = plan
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.has_killed = False

    def begin(self, command: int) -> None:
        """Begin to look for the victim; `command` is the pid of the command that is disturbed."""
        self._thread = threading.Thread(target=self._kill, args=(command,), daemon=True)
        self._thread.start()

    def await_end(self) -> None:
        """Wait until it has killed, or for as long as a victim may take to appear."""
        if self._thread is not None:
            self._thread.join(_GRACE)

    def stop(self) -> None:
        """Give up if the victim was not there."""
        self._stopped.set()
        self.await_end()

    def _kill(self, command: int) -> None:
        while not self._victims(command):
            if self._stopped.wait(0.005):
                return
        self._stopped.wait(self._plan.delay)
        victims = self._victims(command)
        if victims:
            with suppress(AssertionError):  # it ended by itself at this moment
                kill_at_once(*victims)
                self.has_killed = True

    def _victims(self, command: int) -> list[ProcessId]:
        recorded = self._servers.recorded()
        match self._plan.victim:
            case "command":
                entry = process_table.entry(command)
                return [ProcessId(entry.pid, entry.start)] if entry and not entry.ended else []
            case "both":
                return list(recorded.values()) if len(recorded) == 2 else []
            case "server":
                found = self._servers.servers()
                return found[:1] if self._plan.delay * 1e6 % 2 < 1 else found[-1:]
            case "client":
                return [one for one, line in self._servers.processes().items() if f"-I {CLIENT} write" in line]
            case name:
                return [recorded[name]] if name in recorded else []


def _wrong(spoken: list[Spoken], *, must_succeed: bool) -> Iterator[str]:
    """Yield what is wrong with ended commands."""
    for said in spoken:
        tail = said.err[-300:]
        if said.status is None:
            yield f"`{said.line}` did not end: {tail!r}"
        elif must_succeed and said.status:
            yield f"`{said.line}` ended with {said.status}: {tail!r}"
        elif must_succeed and "hint:" in said.err:
            yield f"`{said.line}` succeeded and still has a hint: {tail!r}"
        if any(words in said.err for words in _NEVER):
            yield f"`{said.line}` said: {tail!r}"
