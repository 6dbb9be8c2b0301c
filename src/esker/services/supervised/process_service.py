"""A service that runs as processes of this machine: started, checked, and restarted as its policy says."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from typing import TYPE_CHECKING

from esker.errors import EskerError, PortTaken, ServiceFailed
from esker.host import ports
from esker.services.supervised import probe
from esker.services.supervised.logs import LogFile, Pump
from esker.services.supervised.programs import Programs
from esker.services.supervised.service import LOG_LINES, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from esker.services.specification import ServiceSpec
    from esker.services.status import Killed
    from esker.services.supervised.children import Child, Children
    from esker.services.supervised.programs import RunContext

__all__ = ["ProcessService"]

_SETTLED = 0.1
"""A service without a health check is ready once it has run for this many seconds."""
_STEADY = 10.0
"""If a run became ready and lasted this many seconds, earlier failures no longer count."""
_LONGEST_BACKOFF = 10.0
_DOUBLINGS = 30
_UNPRIVILEGED = 1024
_SHELLS = ("bash", "sh")
_REFUSED = re.compile("permission denied|not permitted|ownership", re.IGNORECASE)


class ProcessService(Service):
    """A service that a shell command of the declaration runs."""

    def __init__(self, spec: ServiceSpec, children: Children, log: LogFile, notify: Callable[[Service], None]) -> None:
        super().__init__(spec, log, notify)
        self.log: LogFile = log
        self._children = children
        self._loop = asyncio.get_running_loop()
        self._programs = Programs(children, spec, self.context, log)
        self._pump: Pump | None = None
        self._matched = asyncio.Event()
        self._launched = asyncio.Event()
        self._last_failure: ServiceFailed | None = None

    def _prepare(self) -> None:
        self._programs = Programs(self._children, self.spec, self.context, self.log)

    async def _end(self, grace: float) -> Killed | None:
        return await self._programs.end(grace, self.spec.shutdown)

    def _hurry(self, grace: float) -> None:
        self._programs.hurry(grace)

    def check(self, spec: ServiceSpec, context: RunContext, freed: Collection[int]) -> None:
        """Raise ServiceFailed if a start by `spec` must fail; until it is stopped, the service runs as it was begun.

        The ports `freed` will be free by then.
        """
        try:
            if spec.check:
                probe.prepare(spec.check, context.variables, context.directory, self._programs.run)
                probe.pattern(spec.check, context.variables)
            self._test_ports(spec, context, freed)
        except EskerError as error:
            begin = "" if isinstance(error, ServiceFailed) else f"cannot start the service `{spec.name}`: "
            stays = f"`{spec.name}` runs on as it was"
            hint = f"{error.hint}; {stays}" if error.hint else stays
            raise ServiceFailed(f"{begin}{error.message}", service=spec.name, hint=hint) from error

    async def _run(self) -> None:
        """Run the service, and restart it as its policy says, until it completes; raise ServiceFailed if it fails."""
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
            self._last_failure = failure
            await asyncio.sleep(min(spec.backoff * 2 ** min(failures, _DOUBLINGS), _LONGEST_BACKOFF))
            failures += 1
            self.restarts += 1

    async def _once(self, failures: int) -> tuple[ServiceFailed | None, bool]:
        """Run the service until all its processes have ended; return its failure, if any, and whether it was ready.

        `failures` is the number of failed runs before this one; the failure's message states it.
        """
        spec, context = self.spec, self.context
        self.remark = None
        self._test_ports(spec, context)
        attempt = None
        if spec.check:
            attempt = probe.prepare(spec.check, context.variables, context.directory, self._programs.run)
        self._matched.clear()
        self._launched.clear()
        self.log.begin()
        self._pump = Pump(self._loop, self.log, self._matched.set, probe.pattern(spec.check, context.variables))
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
            # `await monitor` would not tell whether the monitor or this task was cancelled.
            await asyncio.wait({monitor})
        if not monitor.cancelled():
            monitor.result()
        was_ready = self.was_ready
        self.pid, self.exit_code = None, status if status >= 0 else 128 - status
        left = sorted({member.program for member in self._programs.members()}) if status == 0 else []
        await self._programs.end(spec.stop_grace_period)
        self._close()
        if left and not spec.oneshot and was_ready:
            self.remark = f"`{spec.name}` has ended, and {_in_front(left)}"
        return self._verdict(status, failures, left, was_ready=was_ready), was_ready

    def _verdict(self, status: int, failures: int, left: list[str], *, was_ready: bool) -> ServiceFailed | None:
        spec = self.spec
        if status == 0 and (spec.oneshot or was_ready or not spec.has_table):
            return None
        if not spec.has_table and (was_ready or self.context.lenient or spec.any_end):
            return None
        how = f"exited with status {status}" if status >= 0 else f"was ended by {_signal_name(-status)}"
        when = "" if was_ready or spec.oneshot else f" before it was {'healthy' if spec.check else 'ready'}"
        hint = self.advice
        if status == 0 and left:
            hint = _in_front(left)
        elif status == 0:
            hint = f'if it is meant to end by itself, give `{spec.name}` the `type = "oneshot"`'
        elif self.problem and not was_ready:
            hint = f"its last health check found: {self.problem}; {hint}"
        after = f", after {failures} restarts" if failures else ""
        return self._failed(f"service `{spec.name}` {how}{when}{after}", hint)

    @property
    def advice(self) -> str:
        """A hint for a failure that only the service's own output can explain."""
        lines = self.log.recent(LOG_LINES)
        if not lines:
            return f"run the command of `{self.spec.name}` by hand in `esker activate`: it wrote nothing to its log"
        hint = f"fix what its log reports; `esker services logs {self.spec.name}` shows more of it"
        if self.context.identity and any(_REFUSED.search(line) for line in lines):
            hint += f"; it ran as `{self.context.user}`: set a `user` that has the rights, or give them to this one"
        return hint

    @property
    def obstacle(self) -> str | None:
        """What has kept it from becoming ready so far, if that is known."""
        name, check = self.spec.name, self.spec.check
        if self.restarts and self._last_failure:
            return self._last_failure.message
        if (known := super().obstacle) is not None:
            return known
        if check and check.form == "log" and self.pid:
            return f"no line of the log of `{name}` matches `{check.target[0]}`"
        return None

    def _test_ports(self, spec: ServiceSpec, context: RunContext, freed: Collection[int] = ()) -> None:
        """Raise PortTaken if another program uses a port of `spec`, or the port that its check asks.

        The ports `freed` may still be taken, by services that are about to be stopped.
        """
        needed = {port: f"`{variable}`" for variable, port in spec.ports.items()}
        asked = probe.local_port(spec.check, context.variables)
        if asked is not None:
            needed.setdefault(asked, "its health check")
        for port, name in needed.items():
            if port in freed or ports.is_free(port):
                continue
            holder = ports.holder(port)
            if holder is None and port < _UNPRIVILEGED and os.geteuid():
                continue  # no program has it, we may not bind it: the service itself will report any problem
            ours = {member.pid: owner for member, owner in self._children.all()}
            if port not in spec.ports.values() and holder and holder.pid in ours:
                continue  # the check of this service asks another service of this environment
            owner = (ours.get(holder.pid) or "").strip("\0") if holder else ""
            if owner:  # such as one that the manifest calls otherwise by now
                raise PortTaken(
                    f"service `{spec.name}` cannot start: port {port} of {name} is taken by the service `{owner}`",
                    service=spec.name,
                    hint=f"stop it: esker services stop {owner}",
                )
            who = f"`{holder.program}` (pid {holder.pid})" if holder else "a program of another user"
            raise PortTaken(
                f"service `{spec.name}` cannot start: port {port} of {name} is taken by {who}",
                service=spec.name,
                hint="end that program, or take another port: `esker services ports --renew` for automatic ones, "
                "`ports` in the manifest for others",
            )

    async def _end_of(self, child: Child) -> int:
        """Wait until the service's program has ended, or a daemon's last process; return the exit status."""
        status = await asyncio.shield(child.exit)
        if not self.spec.is_daemon or status:
            return status
        self._launched.set()
        self.started = True
        self.was_ready = self.spec.check is None
        while roots := [member for member in self._programs.members() if member.parent == os.getpid()]:
            self.pid = roots[0].pid
            self._become("Running")
            status = await asyncio.shield(self._children.exit_of(self.pid))
        return status

    async def _monitor(self, attempt: probe.Attempt | None) -> None:
        """Set `was_ready` when the service becomes ready, then keep checking its health."""
        spec, check = self.spec, self.spec.check
        if spec.is_daemon:
            await self._launched.wait()
        elif check is None and not spec.oneshot and (spec.has_table or not self.context.lenient):
            await asyncio.sleep(_SETTLED)
        self.started = True
        self.was_ready = check is None and not spec.oneshot
        self._notify(self)
        if check is None:
            return
        if attempt is None:
            await self._wait_for_line(check.start_period)
            return
        begun, failures = self._loop.time(), 0
        while True:
            await self._ask(attempt, check.timeout)
            self._children.reap()
            if not spec.is_daemon and self._programs.main_has_ended:
                return  # our program has ended, so the answer came from some other program
            if self.problem is None:
                failures = 0
                self._become_healthy()
            elif (
                self.was_ready
                or self._loop.time() - begun >= check.start_period
                or isinstance(self.problem, probe.NotRunnable)
            ):
                failures += 1
                if failures == check.retries:
                    self._become_unhealthy()
            await asyncio.sleep(
                check.interval if self.was_ready else _pause(check.start_interval, self._loop.time() - begun)
            )

    async def _ask(self, attempt: probe.Attempt, seconds: float) -> None:
        """Make one check, and tell those who wait for the service when it finds something else wrong than before."""
        before, self.problem = self.problem, await _answer(attempt, seconds)
        if self.problem not in {before, None} and not self.ready:
            self._notify(self)

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

    def _close(self) -> None:
        if self._pump:
            self._pump.close()
            self._pump = None
        self.log.close()


async def _answer(attempt: probe.Attempt, seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            return await attempt()
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except EskerError as error:
        return error.message
    except (OSError, ValueError) as error:  # ValueError: such as a host name that cannot be encoded
        return str(error)


def _in_front(left: list[str]) -> str:
    """Return what became of the programs that a service's command has left behind, and how to keep them."""
    programs = ", ".join(f"`{name}`" for name in left if name not in _SHELLS)  # a shell is about to become a program
    named = f" ({programs})" if programs else ""
    return (
        f"what it left in the background{named} was ended with it: have it stay in the foreground, without `&` or "
        "`--daemonize`, or say `is-daemon = true`"
    )


def _pause(interval: float, elapsed: float) -> float:
    """Return the seconds before the next check of a starting service: a quarter of the time it has taken so far.

    `interval` is the maximum and a tenth of it the minimum: then we notice a server that is up in 50 ms early enough.
    """
    return min(max(elapsed / 4, interval / 10), interval)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
