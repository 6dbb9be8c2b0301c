"""One service: from waiting for others over being healthy to having stopped, as one state that changes are told of.

Its life is one task: wait for the dependencies, run, and run again as the policy says. Stopping cancels that task,
whatever it is doing, and then ends every process of the service.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import EskerError, PortTaken, ServiceFailed
from esker.host import ports
from esker.host.spawn import REMEDIES
from esker.services.states import ACTIVE, TRANSITIONS
from esker.services.supervised import probe
from esker.services.supervised.logs import LogFile, Pump
from esker.services.supervised.programs import Programs, Setting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from esker.services.specification import ServiceSpec
    from esker.services.states import Health, State
    from esker.services.supervised.children import Child, Children

__all__ = ["Service"]

_SETTLED = 0.1
"""Seconds that a service without a check must run to be ready."""
_STEADY = 10.0
"""Seconds after which a run that was ready wipes out the failures before it."""
_LONGEST_BACKOFF = 10.0
_DOUBLINGS = 30
_LOG_LINES = 20
_UNPRIVILEGED = 1024
_REFUSED = re.compile("permission denied|not permitted|ownership", re.IGNORECASE)


class Service:
    """The state of one service, and what changes it; `told` is called after each change."""

    def __init__(self, spec: ServiceSpec, children: Children, log: LogFile, told: Callable[[Service], None]) -> None:
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
        self._begun = 0.0
        self._children = children
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._life: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._programs = Programs(children, spec, self.setting, log)
        self._pump: Pump | None = None
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

    def begin(self, spec: ServiceSpec, setting: Setting, dependencies: Callable[[Service], Awaitable[None]]) -> None:
        """Begin a life as soon as `dependencies` returns; what it raises is the failure. It must not be active."""
        self.spec, self.setting = spec, setting
        self._programs = Programs(self._children, spec, setting, self.log)
        self.failure, self.restarts = None, 0
        self.exit_code = self.started_at = None
        self._become("Pending")
        self._life = asyncio.create_task(self._live(dependencies))

    async def _live(self, dependencies: Callable[[Service], Awaitable[None]]) -> None:
        state: State = "Skipped"
        try:
            await dependencies(self)
            state = "Error"
            await self._run()
            state = "Completed"
        except ServiceFailed as failure:
            self.failure = failure
        except EskerError as error:
            self.failure = self._failed(f"cannot start the service `{self.spec.name}`: {error.message}", error.hint)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            hint = REMEDIES.get(error.errno or 0)
            self.failure = self._failed(f"cannot start the service `{self.spec.name}`: {reason}", hint)
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
            failure, was_ready = await self._once(failures)
            if was_ready and self._loop.time() - begun >= _STEADY:
                failures = 0
            if failure is None and (spec.restart != "always" or spec.oneshot):
                return
            if failure is not None and (
                spec.restart == "no" or (spec.restart == "on-failure" and failures >= spec.max_restarts)
            ):
                raise failure
            self._become("Restarting")
            await asyncio.sleep(min(spec.backoff * 2 ** min(failures, _DOUBLINGS), _LONGEST_BACKOFF))
            failures += 1
            self.restarts += 1

    async def _once(self, failures: int) -> tuple[ServiceFailed | None, bool]:
        """Run the service until it and all its processes have ended; return how it failed, and whether it was ready.

        The failure says how many `failures` there were before.
        """
        spec, setting = self.spec, self.setting
        self._test_ports()
        attempt = None
        if spec.check:
            attempt = probe.prepare(spec.check, setting.variables, setting.directory, self._programs.run)
        self._matched.clear()
        self._launched.clear()
        self.log.begin()
        self._pump = Pump(self._loop, self.log, self._matched.set, probe.pattern(spec.check, setting.variables))
        child = self._programs.start(self._pump.output)
        self.pid, self.exit_code, self.started_at = child.process.pid, None, time.time()
        self._begun = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.health, self.problem = "starting" if spec.check else None, None
        self._become("Launching" if spec.is_daemon else "Running")
        monitor = asyncio.create_task(self._monitor(attempt))
        try:
            status = await self._end_of(child)
        finally:
            monitor.cancel()
            await asyncio.wait({monitor})  # `await monitor` would not tell its end by cancelling from our own
        if not monitor.cancelled():
            monitor.result()
        was_ready = self.ready
        self.pid, self.exit_code = None, status if status >= 0 else 128 - status
        await self._programs.end(spec.stop_grace_period)
        self._close()
        return self._verdict(status, failures, was_ready=was_ready), was_ready

    def _verdict(self, status: int, failures: int, *, was_ready: bool) -> ServiceFailed | None:
        spec = self.spec
        if not spec.has_table or (status == 0 and (spec.oneshot or was_ready)):
            return None
        how = f"exited with status {status}" if status >= 0 else f"was ended by {_signal_name(-status)}"
        when = "" if was_ready or spec.oneshot else f" before it was {'healthy' if spec.check else 'ready'}"
        hint = self.advice
        if status == 0:
            hint = f'if it has done its work by then, give `{spec.name}` the `type = "oneshot"`'
        elif self.problem and not was_ready:
            hint = f"its health check had found: {self.problem}; {hint}"
        after = f", after {failures} restarts" if failures else ""
        return self._failed(f"service `{spec.name}` {how}{when}{after}", hint)

    @property
    def uptime(self) -> float | None:
        """Seconds for which it has run, whatever was done to the clock meanwhile."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self._begun if self.pid else None

    @property
    def advice(self) -> str:
        """What to do about a failure that only the service itself can explain."""
        lines = self.log.recent(_LOG_LINES)
        if not lines:
            return f"try the command of `{self.spec.name}` by hand in `esker activate`: it wrote nothing"
        told = f"mend what its log tells, of which `esker services logs {self.spec.name}` shows more"
        if self.setting.identity and any(_REFUSED.search(line) for line in lines):
            told += f"; it ran as `{self.setting.user}`: give it a `user` who may, or that user what it needs"
        return told

    @property
    def obstacle(self) -> str | None:
        """What has kept it from being ready so far, as far as that is known."""
        name, check = self.spec.name, self.spec.check
        if self.restarts:
            return f"`{name}` has ended and was restarted, {self.restarts} times so far"
        if self.problem:
            return f"the health check of `{name}` found: {self.problem}"
        if check and check.form == "log" and self.pid:
            return f"no line of the log of `{name}` matches `{check.target[0]}`"
        return None

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
                hint="end that program, or take another port: `esker services ports --renew` for automatic ones, "
                "`ports` in the manifest for others",
            )

    async def _end_of(self, child: Child) -> int:
        """Wait for the end of the service: of its program, or of a daemon's last process."""
        status = await asyncio.shield(child.exit)
        if not self.spec.is_daemon or status:
            return status
        self._launched.set()
        self.started = True
        self.ready = self.spec.check is None
        while roots := [member for member in self._programs.members() if member.parent == os.getpid()]:
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
            if not spec.is_daemon and self._programs.main_has_ended:
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

    async def stop(self, grace: float) -> None:
        """Stop within `grace` seconds, then by force; a stop that is under way is only made faster."""
        if self._stopping and not self._stopping.done():
            self._programs.hurry(grace)
        elif self.state == "Stopped":
            return
        else:
            self._become("Terminating")  # at once, so that nobody takes it for what it was
            if self._life:
                self._life.cancel()  # at once, so that this life does not become anything else
            self._stopping = asyncio.create_task(self._stop(grace))
        await asyncio.shield(self._stopping)

    async def _stop(self, grace: float) -> None:
        if self._life and not self._life.done():
            with suppress(asyncio.CancelledError):
                await self._life
        try:
            await self._programs.end(grace, self.spec.shutdown)
        except EskerError as error:
            self.failure = self._failed(error.message, error.hint)
            self._become("Error")
        else:
            self.exit_code = self.started_at = self.failure = None
            self._become("Stopped")
        finally:
            self._close()

    def _close(self) -> None:
        if self._pump:
            self._pump.close()
            self._pump = None
        self.log.close()

    def _become(self, state: State) -> None:
        assert state == self.state or state in TRANSITIONS[self.state], f"{self.state} -> {state}"
        self.state = state
        if state not in {"Launching", "Running"}:
            self.pid = self.pid if state == "Terminating" else None
            self.health = None
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
    except (OSError, ValueError) as error:  # such as a host whose name no name service would take
        return str(error)


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
