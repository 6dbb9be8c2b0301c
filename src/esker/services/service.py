"""One service: from waiting for others over being healthy to having stopped, as one state that changes are told of.

Its life is one task: wait for the dependencies, run, and run again as the policy says. Stopping cancels that task,
whatever it is doing, and then ends every process of the service.
"""

import asyncio
import os
import signal
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Literal, NamedTuple

from esker.errors import EskerError, PortTaken, ServiceFailed
from esker.host import ports
from esker.host.process import find_program
from esker.host.spawn import Identity, Program, SpawnRefused
from esker.services import probe
from esker.services.children import Child, Children
from esker.services.logs import LogFile, Pump
from esker.services.specification import ServiceSpec

__all__ = ["ACTIVE", "Health", "Service", "Setting", "State"]

State = Literal[
    "Stopped", "Pending", "Launching", "Running", "Completed", "Error", "Skipped", "Restarting", "Terminating"
]
"""Flox's words."""
Health = Literal["starting", "healthy", "unhealthy"]
ACTIVE = frozenset(("Pending", "Launching", "Running", "Restarting", "Terminating"))

_SETTLED = 0.1
"""Seconds that a service without a check must run to be ready."""
_STEADY = 10.0
"""Seconds after which a run that was ready wipes out the failures before it."""
_LONGEST_BACKOFF = 10.0
_DOUBLINGS = 30
_STUBBORN = 10.0
"""Seconds to wait for killed processes to be gone."""
_LOG_LINES = 20
_UNPRIVILEGED = 1024


class Setting(NamedTuple):
    """Where and as whom the programs of a service run."""

    variables: Mapping[str, str]
    directory: str
    identity: Identity | None = None
    user: str = ""
    """The name of that user, for people."""
    note: str | None = None
    """What people should know about the identity."""


class Service:
    """The state of one service, and what changes it; `told` is called after each change."""

    def __init__(self, spec: ServiceSpec, children: Children, log: LogFile, told: "Callable[[Service], None]") -> None:
        self.spec = spec
        self.setting = Setting({}, "/")
        self.log = log
        self.state: State = "Stopped"
        self.health: Health | None = None
        self.problem: str | None = None
        """What the last check found wrong."""
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.failure: ServiceFailed | None = None
        self.started = False
        self.ready = False
        self.restarts = 0
        self.started_at: float | None = None
        self._children = children
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._life: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._deadline = 0.0
        self._pump: Pump | None = None
        self._main: Child | None = None
        self._matched = asyncio.Event()
        self._launched = asyncio.Event()

    @property
    def active(self) -> bool:
        """Whether it runs or is on its way to running or to having stopped."""
        return self.state in ACTIVE

    @property
    def satisfied(self) -> bool:
        """Whether it is what a start waits for: completed if it is a oneshot, else ready, or completed meanwhile."""
        return self.state == "Completed" or (self.ready and not self.spec.oneshot)

    def begin(self, spec: ServiceSpec, setting: Setting, dependencies: "Callable[[Service], Awaitable[None]]") -> None:
        """Begin a life as soon as `dependencies` returns; what it raises is the failure. It must not be active."""
        self.spec, self.setting = spec, setting
        self.failure, self.restarts = None, 0
        self.exit_code = self.started_at = None
        self._become("Pending")
        self._life = asyncio.create_task(self._live(dependencies))

    async def _live(self, dependencies: "Callable[[Service], Awaitable[None]]") -> None:
        state: State = "Skipped"
        try:
            await dependencies(self)
            state = "Error"
            await self._run()
            state = "Completed"
        except ServiceFailed as failure:
            self.failure = failure
        except EskerError as error:
            self.failure = ServiceFailed(error.message, service=self.spec.name, hint=error.hint)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self.failure = self._failed(f"cannot start the service `{self.spec.name}`: {reason}")
        except Exception as error:  # noqa: BLE001  (a fault of ours: its place goes to supervisor.log, and nobody waits)
            traceback.print_exc()
            self.failure = self._failed(f"cannot run the service `{self.spec.name}`: {error!r}")
        self._close()
        self._become(state)

    async def _run(self) -> None:
        """Run the service, and again as its policy says, until it has completed; else raise how it failed."""
        spec, failures = self.spec, 0
        while True:
            begun = self._loop.time()
            failure, was_ready = await self._once()
            if was_ready and self._loop.time() - begun >= _STEADY:
                failures = 0
            if failure is None and (spec.restart != "always" or spec.oneshot):
                return
            if failure is not None and (
                spec.restart == "no" or (spec.restart == "on-failure" and failures >= spec.max_restarts)
            ):
                failure.message += f", after {failures} restarts" if failures else ""
                raise failure
            self._become("Restarting")
            await asyncio.sleep(min(spec.backoff * 2 ** min(failures, _DOUBLINGS), _LONGEST_BACKOFF))
            failures += 1
            self.restarts += 1

    async def _once(self) -> tuple[ServiceFailed | None, bool]:
        """Run the service until it and all its processes have ended; return how it failed, and whether it was ready."""
        spec, setting = self.spec, self.setting
        self._test_ports()
        attempt = None
        if spec.check:
            attempt = probe.prepare(spec.check, setting.variables, setting.directory, self._run_check)
        self._matched.clear()
        self._launched.clear()
        self.log.begin()
        self._pump = Pump(self._loop, self.log, self._matched.set, probe.pattern(spec.check, setting.variables))
        self._main = child = self._start(spec.command, self._pump.output, spec.name)
        self.pid, self.exit_code, self.started_at = child.pid, None, time.time()
        self.health, self.problem = "starting" if spec.check else None, None
        self._become("Launching" if spec.is_daemon else "Running")
        monitor = asyncio.create_task(self._monitor(attempt))
        try:
            status = await self._end_of(child)
        finally:
            monitor.cancel()
            with suppress(asyncio.CancelledError):
                await monitor
        was_ready = self.ready
        self.exit_code = status if status >= 0 else 128 - status
        self._deadline = self._loop.time() + spec.stop_grace_period
        await self._end_processes()
        self._close()
        return self._verdict(status, was_ready=was_ready), was_ready

    def _verdict(self, status: int, *, was_ready: bool) -> ServiceFailed | None:
        spec = self.spec
        if not spec.has_table or (status == 0 and (spec.oneshot or was_ready)):
            return None
        how = f"exited with status {status}" if status >= 0 else f"was ended by {_signal_name(-status)}"
        when = "" if was_ready or spec.oneshot else f" before it was {'healthy' if spec.check else 'ready'}"
        hint = None
        if status == 0:
            hint = f'if it has done its work by then, give `{spec.name}` the `type = "oneshot"`'
        elif self.problem and not was_ready:
            hint = f"its health check had found: {self.problem}"
        return self._failed(f"service `{spec.name}` {how}{when}", hint)

    def _failed(self, message: str, hint: str | None = None) -> ServiceFailed:
        lines = self.log.recent(_LOG_LINES)
        return ServiceFailed(message, service=self.spec.name, status=self.exit_code, log=lines, hint=hint)

    def _test_ports(self) -> None:
        spec = self.spec
        wanted = {port: f"`{variable}`" for variable, port in spec.ports.items()}
        asked = probe.local_port(spec.check, self.setting.variables)
        if asked is not None:
            wanted.setdefault(asked, "its health check")
        for port, name in wanted.items():
            if ports.is_free(port):
                continue
            holder = ports.holder(port)
            if holder is None and port < _UNPRIVILEGED and os.geteuid():
                continue  # not taken, but not ours to try: the service itself will say so
            ours = {member.pid for member, _ in self._children.all()}
            if port not in spec.ports.values() and holder and holder.pid in ours:
                continue  # its check asks another service of this environment
            who = f"`{holder.program}` (pid {holder.pid})" if holder else "a program of another user"
            raise PortTaken(
                f"service `{spec.name}` cannot start: port {port} of {name} is taken by {who}",
                service=spec.name,
                hint="end that program, or choose other ports with `esker services ports --renew`",
            )

    def _start(self, command: str, output: int, owner: str) -> Child:
        shell = "bash" if find_program("bash", self.setting.variables.get("PATH")) else "sh"
        return self._spawn((shell, "-c", command), output, owner)

    def _spawn(self, words: tuple[str, ...], output: int, owner: str) -> Child:
        setting = self.setting
        if setting.identity:
            os.fchown(output, setting.identity.uid, -1)  # so that it may open /dev/stdout
        program = Program(words, setting.variables, setting.directory, setting.identity)
        try:
            return self._children.start(program, output, owner)
        except SpawnRefused as refused:
            raise self._failed(f"cannot start the service `{self.spec.name}`: {refused}") from refused

    async def _end_of(self, child: Child) -> int:
        """Wait for the end of the service: of its program, or of a daemon's last process."""
        status = await asyncio.shield(child.exit)
        if not self.spec.is_daemon or status:
            return status
        self._launched.set()
        self.started = True
        self.ready = self.spec.check is None
        while roots := [member for member in self._children.of(self.spec.name) if member.parent == os.getpid()]:
            self.pid = roots[0].pid
            self._become("Running")
            status = await asyncio.shield(self._children.exit_of(self.pid))
        return status

    async def _monitor(self, attempt: probe.Attempt | None) -> None:
        """Find out when the service is ready, and then whether it stays healthy."""
        spec, check = self.spec, self.spec.check
        if spec.is_daemon:
            await self._launched.wait()
        elif check is None and spec.has_table and not spec.oneshot:
            await asyncio.sleep(_SETTLED)
        self.started = True
        self.ready = check is None and not spec.oneshot
        self._told(self)
        if check is None:
            return
        if attempt is None:
            await self._wait_for_line(check.start_period)
            return
        begun, failures = self._loop.time(), 0
        while True:
            self.problem = await _answer(attempt, check.timeout)
            self._children.reap()
            if not spec.is_daemon and self._main and self._main.exit.done():
                return  # whoever answered, it was not this service
            if self.problem is None:
                failures = 0
                self._become_healthy()
            elif self.ready or self._loop.time() - begun >= check.start_period:
                failures += 1
                if failures == check.retries:
                    self._become_unhealthy()
            await asyncio.sleep(
                check.interval if self.ready else _pause(check.start_interval, self._loop.time() - begun)
            )

    async def _wait_for_line(self, period: float) -> None:
        try:
            async with asyncio.timeout(period):
                await self._matched.wait()
        except TimeoutError:
            self.problem = "no line of its log matches"
            self._become_unhealthy()
            await self._matched.wait()
        self.problem = None
        self._become_healthy()

    def _become_healthy(self) -> None:
        if self.health != "healthy":
            self.health, self.ready = "healthy", True
            self._told(self)

    def _become_unhealthy(self) -> None:
        self.health = "unhealthy"
        self._told(self)

    async def _run_check(self, words: tuple[str, ...]) -> tuple[int, str]:
        """Run a check's command as the service would; the last line it says explains a failure."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        said = b""

        def read() -> None:
            nonlocal said
            with suppress(BlockingIOError):
                said = (said + os.read(reading, 1 << 16))[-500:]

        self._loop.add_reader(reading, read)
        child = None
        try:
            child = self._spawn(words, writing, self._helpers)
            status = await asyncio.shield(child.exit)
            read()
        finally:
            if child and not child.exit.done():
                self._children.kill(self._children.of(self._helpers))
            self._loop.remove_reader(reading)
            os.close(reading)
            os.close(writing)
        lines = said.decode(errors="replace").strip().splitlines()
        return status, lines[-1] if lines else ""

    @property
    def _helpers(self) -> str:
        """The owner of checks and shutdown commands: not the service, which they are no part of."""
        return f"\0{self.spec.name}"

    async def stop(self, grace: float) -> None:
        """Stop within `grace` seconds, then by force; a stop that is under way is only made faster."""
        deadline = self._loop.time() + grace
        if self._stopping and not self._stopping.done():
            self._deadline = min(self._deadline, deadline)
            self._children.wake()
        else:
            self._deadline = deadline
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._life and not self._life.done():
            self.health = None
            self._become("Terminating")
            self._life.cancel()
            with suppress(asyncio.CancelledError):
                await self._life
        try:
            await self._end_processes(self.spec.shutdown)
        except ServiceFailed as failure:
            self.failure = failure
            self._become("Error")
        else:
            self.exit_code = self.started_at = self.failure = None
            self._become("Stopped")
        finally:
            self._close()

    async def _end_processes(self, shutdown: str | None = None) -> None:
        """End every process of the service: by its command or signal until the deadline, then by force."""
        asked = False
        if shutdown and self._pump and self._children.of(self.spec.name):
            asked = await self._shut_down(shutdown, self._pump.output)
        told: set[int] = set()
        number = signal.Signals[self.spec.stop_signal]
        while members := self._children.of(self.spec.name):
            late = self._loop.time() - self._deadline
            if late >= _STUBBORN:
                raise self._failed(f"service `{self.spec.name}` cannot be ended: pid {members[0].pid} does not end")
            if number != signal.SIGTERM and not self.spec.is_daemon and self._main and self._main.exit.done():
                number, asked = signal.SIGTERM, False  # what the program leaves may know no other signal
                told.clear()
            if late >= 0:
                self._children.kill(members)
            elif not asked:
                self._children.signal(members, number, told)
            await self._children.change(-late if late < 0 else 0.1)

    async def _shut_down(self, command: str, output: int) -> bool:
        """Run the service's own command for its end; return whether it succeeded before the deadline."""
        try:
            child = self._start(command, output, self._helpers)
        except ServiceFailed as failure:
            self.log.write(f"esker: {failure.message}\n".encode())
            return False
        while not child.exit.done() and (left := self._deadline - self._loop.time()) > 0:
            await self._children.change(left)
        if not child.exit.done():
            self._children.kill(self._children.of(self._helpers))
            return False
        if status := child.exit.result():
            self.log.write(f"esker: the shutdown command gave {status}\n".encode())
        return status == 0

    def _close(self) -> None:
        if self._pump:
            self._pump.close()
            self._pump = None
        self.log.close()

    def _become(self, state: State) -> None:
        self.state = state
        if state not in {"Launching", "Running"}:
            self.pid, self.health = None, None
            self.started = self.ready = False
        self._told(self)


async def _answer(attempt: probe.Attempt, seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            return await attempt()
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except EskerError as error:
        return error.message


def _pause(interval: float, elapsed: float) -> float:
    """The pause before the next check of a service that is starting: a quarter of the time it has taken so far.

    `interval` is the longest and its tenth the shortest, so that a server which is up in 50 ms is not found 50 ms late.
    """
    return min(max(elapsed / 4, interval / 10), interval)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
