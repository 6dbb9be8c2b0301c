"""Services that Flox runs: started, watched and stopped by its command, for their users or to stay.

Flox has no leases and no health checks: a service is ready when it runs. Services that are to stay need a process that
stays attached (`flox_holder`); one of it is enough for an environment, and it goes when no service runs any more.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

from esker.activate.flox import holder as flox_holder
from esker.errors import CommandFailed, ServiceError, ServiceFailed, ServicesNotReady, UnknownService
from esker.host import variables
from esker.host.memory_file import memory_file
from esker.services.chamber import Started
from esker.services.flox.uses import Uses, changing
from esker.services.status import ServiceStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from esker.activate.flox.command import FloxCommand
    from esker.formats.service_handle import Holder
    from esker.host.clock import Deadline
    from esker.services.supervised.protocol import Until

__all__ = ["FloxCommandServices"]

_BEFORE = frozenset({"Pending", "Launching", "Restarting", "Scheduled"})
"""The words for a service that is on its way."""
_ALIVE = _BEFORE | {"Running", "Terminating"}
_POLL = 0.1
_SETTLED = 0.1
_ANSWER = 5.0
_LOG_LINES = 20


class FloxCommandServices:
    """The services of one environment."""

    def __init__(self, flox: FloxCommand) -> None:
        self._flox = flox

    def start(self, names: Sequence[str], deadline: Deadline) -> Started:
        """Start services, all without names, to stay until `stop`.

        When one does not come to run, what this call started is stopped again.
        """
        with changing(self._dot_flox) as uses:
            wanted, missing = self._wanted(names, deadline)
            self._keep(uses, deadline)
            self._bring_up(missing, uses, deadline)
            uses.started -= set(wanted)
            holder = uses.holder
        self._await(wanted, missing, deadline)
        return Started(tuple(wanted), holder)

    def use(self, names: Sequence[str], deadline: Deadline) -> Callable[[], None]:
        """Start services, all without names, for this process until the returned function is called."""
        token = secrets.token_hex(8)
        try:
            with changing(self._dot_flox) as uses:
                wanted, missing = self._wanted(names, deadline)
                uses.take(token, wanted, missing)
                self._bring_up(missing, uses, deadline)
            self._await(wanted, missing, deadline)
        except BaseException:
            self._release(token)
            raise
        return lambda: self._release(token)

    def restart(self, names: Sequence[str], deadline: Deadline) -> None:
        """Stop services that run, and start them; those that did not run are there to stay."""
        with changing(self._dot_flox) as uses:
            wanted, missing = self._wanted(names, deadline)
            if missing:
                self._keep(uses, deadline)
            self._flox.call_inside("services", "restart", names=wanted, deadline=deadline)
        self._await(wanted, missing, deadline)

    def stop(self, names: Sequence[str] | None = None, holder: Holder | None = None) -> None:
        """Stop services (None: all), whoever uses them; `holder` is who kept them, if that is known."""
        with changing(self._dot_flox) as uses:
            self._stop(() if names is not None and not names else self._wanted(names or ())[0], uses, holder)

    def status(self, deadline: Deadline | None = None) -> tuple[ServiceStatus, ...]:
        """Return the state of every service, by name.

        Flox has until the deadline to tell, and always as long as an answer takes.
        """
        left = None if deadline is None else deadline.left()
        limit = None if deadline is None or left is None else deadline.lasting(max(left, _ANSWER))
        try:
            return self._flox.ask("services", "status", "--json", parse=_statuses, deadline=limit)
        except CommandFailed:
            if self._declared():
                raise
            return ()

    def wait(self, names: Sequence[str], until: Until, deadline: Deadline) -> None:
        """Wait until services, all without names, are `healthy` (Flox: they run), `completed` or `stopped`."""
        wanted, _ = self._wanted(names, deadline)
        self._poll(wanted, {"healthy": _is_ready, "completed": _is_completed, "stopped": _is_stopped}[until], deadline)

    def logs(self, name: str, tail: int | None = None) -> str:
        """Return the last lines of a service's log; without `tail` as many as Flox shows."""
        self._wanted([name])
        return self._flox.call("services", "logs", *_tail(tail), names=[name])

    def follow(self, name: str, tail: int | None = None) -> Iterator[str]:
        """Yield the last lines of a service's log and those that are added, until the caller has enough."""
        self._wanted([name])
        argv = [self._flox.program, "services", "logs", "--follow", *_tail(tail)]
        with (
            open(memory_file(), "r+", encoding="utf-8", errors="replace") as errors,
            subprocess.Popen(
                [*argv, "-d", self._flox.project, "--", name],
                env=variables.current(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                errors="surrogateescape",
            ) as process,
        ):
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    yield line.rstrip("\n").removeprefix(name).lstrip(" ").removeprefix(": ")
            except BaseException:
                process.terminate()
                raise
            if process.wait():
                errors.seek(0)
                raise self._flox.failure("services logs --follow", process.returncode, errors.read())

    @property
    def _dot_flox(self) -> str:
        return f"{self._flox.project}/.flox"

    def _declared(self) -> bool:
        """Whether the manifest, included ones and all, has services."""
        services: dict[str, Any] = self._flox.ask("list", "-c", parse=tomllib.loads).get("services", {})
        return bool(services.keys() - {"auto-start"})

    def _wanted(self, names: Sequence[str], deadline: Deadline | None = None) -> tuple[list[str], list[str]]:
        """Return the named services, or all, and those of them that do not run."""
        known = {found.name: found for found in self.status(deadline)}
        if not known:
            raise ServiceError("this environment has no services", hint="declare one in `[services]`")
        for name in names:
            if name not in known:
                listed = ", ".join(f"`{each}`" for each in known)
                raise UnknownService(
                    f"service `{name}` does not exist", service=name, hint=f"the services here are {listed}"
                )
        wanted = list(dict.fromkeys(names)) or list(known)
        return wanted, [name for name in wanted if known[name].status not in _ALIVE]

    def _keep(self, uses: Uses, deadline: Deadline) -> None:
        """See to it that there is a process which keeps services, and that it is known before it stays."""
        if uses.holder is None or not flox_holder.is_alive(uses.holder):
            flox_holder.stay(self._flox.activate, variables.current(), deadline, uses.keep)

    def _bring_up(self, missing: Sequence[str], uses: Uses, deadline: Deadline) -> None:
        if not missing:
            return
        try:
            self._flox.call_inside("services", "start", names=missing, deadline=deadline)
        except BaseException:
            self._stop(missing, uses)
            raise

    def _await(self, wanted: Iterable[str], missing: Sequence[str], deadline: Deadline) -> None:
        """Wait until services run; those that were `missing`, and nobody else uses, are stopped when one does not."""
        try:
            self._poll(wanted, _is_ready, deadline)
            if missing:  # many a server that cannot run ends at once
                deadline.pause(_SETTLED)
                self._poll(wanted, _is_ready, deadline)
        except BaseException:
            with changing(self._dot_flox) as uses:
                self._stop([name for name in missing if not uses.users(name)], uses)
            raise

    def _poll(self, names: Iterable[str], reached: Callable[[ServiceStatus], bool], deadline: Deadline) -> None:
        names = set(names)
        while True:
            left = [found for found in self.status(deadline) if found.name in names and not reached(found)]
            if not left:
                return
            for found in left:
                if reached is not _is_stopped and found.status not in _ALIVE:
                    self._refuse(found)
            if deadline.passed:
                listed = ", ".join(f"`{found.name}` ({found.status})" for found in left)
                raise ServicesNotReady(
                    f"services were not ready within {deadline.seconds:g} s: {listed}",
                    services=[found.name for found in left],
                    log=self._log(left[0].name),
                )
            deadline.pause(_POLL)

    def _refuse(self, found: ServiceStatus) -> None:
        if found.exit_code is not None:
            how = f"exited with status {found.exit_code}"
        else:
            how = "was ended by a signal" if found.status == "Completed" else f"is {found.status}"
        raise ServiceFailed(
            f"service `{found.name}` {how}", service=found.name, status=found.exit_code, log=self._log(found.name)
        )

    def _log(self, name: str) -> list[str]:
        try:
            return self.logs(name, _LOG_LINES).splitlines()
        except CommandFailed:
            return []

    def _release(self, token: str) -> None:
        with changing(self._dot_flox) as uses:
            unused = uses.release(token)
            if unused:
                self._stop(unused, uses)

    def _stop(self, names: Iterable[str], uses: Uses, holder: Holder | None = None) -> None:
        """Stop those of the services that run, and let go of who kept them when none does any more."""
        alive = {found.name for found in self.status() if found.status in _ALIVE}
        ending = sorted(alive.intersection(names))
        if ending:
            self._flox.call("services", "stop", names=ending)
        uses.forget(names)
        if alive - set(ending):
            return
        for each in (uses.holder, holder):
            if each is not None:
                flox_holder.end(each)
        uses.holder = None


def _statuses(text: str) -> tuple[ServiceStatus, ...]:
    return tuple(sorted(map(_status, json.loads(text)), key=lambda found: found.name))


def _status(record: dict[str, Any]) -> ServiceStatus:
    """Return what Flox says of a service; the pid of one that has ended is nobody's any more."""
    alive = record["status"] in _ALIVE
    return ServiceStatus(
        name=record["name"],
        status=record["status"],
        pid=record.get("pid") if alive else None,
        exit_code=None if alive else record.get("exit_code"),
    )


def _is_ready(found: ServiceStatus) -> bool:
    return found.status == "Running" or _is_completed(found)


def _is_completed(found: ServiceStatus) -> bool:
    return found.status == "Completed" and found.exit_code == 0


def _is_stopped(found: ServiceStatus) -> bool:
    return found.status not in _ALIVE


def _tail(lines: int | None) -> list[str]:
    return [] if lines is None else ["--tail", str(lines)]
