"""The services that Flox runs: started, watched and stopped with the `flox` command.

Flox has no leases and no health checks: a service counts as ready once it runs. Flox stops services when the last
process of their activation has ended. Services that run until `stop` therefore need a process that stays attached to
the activation (`flox_holder`). One such process serves all services of an environment; we end it when no service runs.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

from esker.activate.flox import holder as flox_holder
from esker.activate.flox.command import FloxCommand
from esker.declare import trust
from esker.errors import CommandFailed, ServiceError, ServiceFailed, ServicesNotReady, UsageError
from esker.host import variables
from esker.host.clock import Deadline
from esker.host.interruption import plain
from esker.host.memory_file import memory_file
from esker.services.chamber import START_SECONDS, Leased, Stopped, Volumes, not_in_a_container, unknown_service
from esker.services.flox.uses import Uses, changing_uses
from esker.services.status import ServiceStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from esker.formats.service_handle import Holder
    from esker.services.chamber import Changed, ServiceActivation
    from esker.services.status import Until
    from esker.settings import Settings

__all__ = ["FloxChamber", "chamber"]

_BEFORE = frozenset({"Pending", "Launching", "Restarting", "Scheduled"})
"""Flox's words for a service that does not run yet, but will."""
_ALIVE = _BEFORE | {"Running", "Terminating"}
_POLL = 0.1
_SETTLED = 0.1
_ANSWER = 5.0
_LOG_LINES = 20


class FloxChamber:
    """The services of one environment that Flox runs; implements Chamber."""

    def __init__(self, flox: FloxCommand, settings: Settings) -> None:
        self._flox = flox
        self._settings = settings
        self.like_flox = True

    @property
    def remarks(self) -> tuple[str, ...]:
        """Nothing: Flox says itself what there is to say."""
        return ()

    @property
    def unreadable(self) -> str | None:
        """None: Flox has no services in containers."""
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the declared services, sorted."""
        return tuple(status.name for status in self.status())

    @plain
    def start(
        self,
        *names: str,
        seconds: float | Deadline = START_SECONDS,
        changed: Changed | None = None,
        recreate: bool = False,
    ) -> tuple[ServiceStatus, ...]:
        """Start services, and return their states once they run; they run until `stop`.

        If one of them fails to start, this stops the services that this call started. Flox does not say by which
        definition a service runs, so `recreate` is refused.
        """
        if recreate:
            raise UsageError(
                "Flox does not say which services run by an earlier definition",
                hint="restart all of them: services restart",
            )
        deadline = self._trusted(seconds)
        with changing_uses(self._dot_flox) as uses:
            chosen, missing = self._chosen(names, deadline)
            self._keep(uses, deadline)
            self._bring_up(missing, uses, deadline)
            uses.started -= set(chosen)
        return self._await(chosen, missing, deadline, changed)

    @plain
    def restart(
        self, *names: str, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> dict[str, str]:
        """Restart services; those that did not run before are started, and run until `stop`."""
        deadline = self._trusted(seconds)
        with changing_uses(self._dot_flox) as uses:
            chosen, missing = self._chosen(names, deadline)
            if missing:
                self._keep(uses, deadline)
            self._flox.call_inside("services", "restart", names=chosen, deadline=deadline)
        self._await(chosen, missing, deadline, changed)
        return {name: "started" if name in missing else "restarted" for name in chosen}

    @plain
    def lease(
        self,
        *names: str,
        seconds: float | Deadline = START_SECONDS,
        changed: Changed | None = None,
        pid: int | None = None,
        token: str | None = None,
    ) -> Leased:
        """Start services that run until a process ends (`pid`, by default this one) or releases them."""
        deadline, token = self._trusted(seconds), token or secrets.token_hex(8)
        pid = os.getpid() if pid is None else pid
        try:
            with changing_uses(self._dot_flox) as uses:
                chosen, missing = self._chosen(names, deadline)
                uses.take(token, pid, chosen, missing)
                self._bring_up(missing, uses, deadline)
            statuses = self._await(chosen, missing, deadline, changed)
        except BaseException:
            self.release(pid, token)
            raise
        return Leased(statuses, lambda: self.release(pid, token))

    @plain
    def release(self, pid: int, token: str) -> None:
        """End the lease of a process under a token, and stop the services that nobody else uses."""
        with changing_uses(self._dot_flox) as uses:
            unused = uses.release(token, pid)
            if unused:
                self._stop(unused, uses)

    @plain
    def stop(self, *names: str, force: bool = False) -> Stopped:  # noqa: ARG002  # Flox runs no containers
        """Stop services, even if other processes use them."""
        with changing_uses(self._dot_flox) as uses:
            chosen, missing = self._chosen(names)
            self._stop(chosen, uses)
        stopped = tuple(name for name in chosen if name not in missing)
        return Stopped(stopped=stopped, not_running=tuple(missing) if names else ())

    @plain
    def volumes(self, name: str) -> Volumes:
        """Raise UsageError: Flox runs no containers."""
        raise not_in_a_container(name)

    def reset(
        self, name: str, *, seconds: float | Deadline = START_SECONDS, changed: Changed | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Raise UsageError: Flox runs no containers."""
        del seconds, changed
        raise not_in_a_container(name)

    def status(self, *names: str) -> tuple[ServiceStatus, ...]:
        """Return the states of services, sorted by name; an empty tuple if the environment has no services."""
        statuses = self._statuses()
        declared = [status.name for status in statuses]
        for name in names:
            if name not in declared:
                raise unknown_service(name, declared)
        return tuple(status for status in statuses if not names or status.name in names)

    @plain
    def wait(
        self, *names: str, until: Until = "healthy", seconds: float | Deadline | None = None
    ) -> tuple[ServiceStatus, ...]:
        """Wait until services are `healthy` (for Flox: they run), `completed` or `stopped`, and return their states."""
        deadline = _deadline(seconds)
        chosen, _ = self._chosen(names, deadline)
        return self._poll(chosen, _REACHED[until], deadline)

    def changes(self) -> Iterator[ServiceStatus]:
        """Yield the state of each service, and then each changed state, until no service runs."""
        shown: dict[str, ServiceStatus] = {}
        while True:
            statuses = self.status()
            for status in statuses:
                if shown.get(status.name) != status:
                    shown[status.name] = status
                    yield status
            if all(status.status not in _ALIVE for status in statuses):
                return
            Deadline().pause(_POLL)

    def logs(self, name: str, count: int | None = None) -> list[str]:
        """Return the last `count` lines of a service's log; without `count`, as many as Flox shows."""
        self._chosen([name])
        return self._flox.call("services", "logs", *_tail(count), names=[name]).splitlines()

    def follow(
        self,
        *names: str,
        count: int | None = 0,
        pause: Callable[[], bool] | None = None,  # noqa: ARG002 - Flox itself waits for lines
    ) -> Iterator[tuple[str, str]]:
        """Yield (service, line): the last `count` lines of the log, then each line that is added.

        Flox follows one service at a time, so several raise UsageError.
        """
        chosen, _ = self._chosen(names)
        if len(chosen) != 1:
            raise UsageError("Flox follows the log of one service at a time", hint=f"name one of {', '.join(chosen)}")
        for line in self._followed(chosen[0], count):
            yield chosen[0], line

    def _followed(self, name: str, count: int | None) -> Iterator[str]:
        argv = [self._flox.program, "services", "logs", "--follow", *_tail(count)]
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

    def keeper(self) -> Holder | None:
        """Return the process that stays attached to the activation, if there is one."""
        with changing_uses(self._dot_flox) as uses:
            return uses.holder

    def _trusted(self, seconds: float | Deadline) -> Deadline:
        """Return the deadline of a call that may run the project's code; raise unless the project is trusted."""
        trust.check_contents(self._flox.project, self._settings)
        return _deadline(seconds)

    def _statuses(self, deadline: Deadline | None = None) -> tuple[ServiceStatus, ...]:
        """Return the state of every service, sorted by name.

        Flox has until the deadline to answer, but always at least `_ANSWER` seconds.
        """
        left = None if deadline is None else deadline.left()
        limit = None if deadline is None or left is None else deadline.lasting(max(left, _ANSWER))
        try:
            return self._flox.ask("services", "status", "--json", parse=_parsed, deadline=limit)
        except CommandFailed:
            if self._declared():
                raise
            return ()

    @property
    def _dot_flox(self) -> str:
        return f"{self._flox.project}/.flox"

    def _declared(self) -> bool:
        """Whether the manifest, merged with those it includes, declares services."""
        services: dict[str, Any] = self._flox.ask("list", "-c", parse=tomllib.loads).get("services", {})
        return bool(services.keys() - {"auto-start"})

    def _chosen(self, names: Sequence[str], deadline: Deadline | None = None) -> tuple[list[str], list[str]]:
        """Return the chosen services (all of them if `names` is empty), and which of these do not run."""
        statuses = {status.name: status for status in self._statuses(deadline)}
        if not statuses:
            raise ServiceError("this environment has no services", hint="declare one in `[services]`")
        for name in names:
            if name not in statuses:
                raise unknown_service(name, list(statuses))
        chosen = list(dict.fromkeys(names)) or list(statuses)
        return chosen, [name for name in chosen if statuses[name].status not in _ALIVE]

    def _keep(self, uses: Uses, deadline: Deadline) -> None:
        """Ensure that a process stays attached to the activation; `uses` records it before it may outlive us."""
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

    def _await(
        self, chosen: Sequence[str], missing: Sequence[str], deadline: Deadline, changed: Changed | None
    ) -> tuple[ServiceStatus, ...]:
        """Wait until services run, and return their states.

        If one of them fails, this stops those that did not run before (`missing`) and that nobody else uses.
        """
        try:
            statuses = self._poll(chosen, _is_ready, deadline, changed)
            if missing:  # a server that cannot run often ends right after its start, so look a second time
                deadline.pause(_SETTLED)
                statuses = self._poll(chosen, _is_ready, deadline, changed)
        except BaseException:
            with changing_uses(self._dot_flox) as uses:
                self._stop([name for name in missing if not uses.users(name)], uses)
            raise
        return statuses

    def _poll(
        self,
        names: Sequence[str],
        reached: Callable[[ServiceStatus], bool],
        deadline: Deadline,
        changed: Changed | None = None,
    ) -> tuple[ServiceStatus, ...]:
        """Ask for the states until every service has `reached` its goal; raise ServiceFailed if one never can."""
        shown: dict[str, ServiceStatus] = {}
        while True:
            statuses = tuple(status for status in self._statuses(deadline) if status.name in names)
            for status in statuses:
                if changed and shown.get(status.name) != status:
                    changed(status)
                shown[status.name] = status
            unreached = [status for status in statuses if not reached(status)]
            if not unreached:
                return statuses
            for status in unreached:
                if reached is not _is_stopped and status.status not in _ALIVE:
                    self._refuse(status)
            if deadline.passed:
                listed = ", ".join(f"`{status.name}` ({status.status})" for status in unreached)
                raise ServicesNotReady(
                    f"services were not ready within {deadline.seconds:g} s: {listed}",
                    services=[status.name for status in unreached],
                    log=self._log(unreached[0].name),
                )
            deadline.pause(_POLL)

    def _refuse(self, status: ServiceStatus) -> None:
        if status.exit_code is not None:
            how = f"exited with status {status.exit_code}"
        else:
            how = "was ended by a signal" if status.status == "Completed" else f"is {status.status}"
        raise ServiceFailed(
            f"service `{status.name}` {how}", service=status.name, status=status.exit_code, log=self._log(status.name)
        )

    def _log(self, name: str) -> list[str]:
        try:
            return self.logs(name, _LOG_LINES)
        except CommandFailed:
            return []

    def _stop(self, names: Iterable[str], uses: Uses) -> None:
        """Stop the named services that run; if no service runs after that, end the process that stayed attached."""
        alive = {status.name for status in self._statuses() if status.status in _ALIVE}
        ending = sorted(alive.intersection(names))
        if ending:
            self._flox.call("services", "stop", names=ending)
        uses.forget(names)
        if alive - set(ending):
            return
        if uses.holder is not None:
            flox_holder.end(uses.holder)
        uses.holder = None


def chamber(
    project: str,
    settings: Settings,
    environ: Mapping[str, str],  # noqa: ARG001 - Flox gives services its own activation
    activation: ServiceActivation,  # noqa: ARG001 - the same
) -> FloxChamber:
    """Return the services that Flox runs for a project (absolute, links resolved)."""
    return FloxChamber(FloxCommand(project), settings)


def _deadline(seconds: float | Deadline | None) -> Deadline:
    return seconds if isinstance(seconds, Deadline) else Deadline(seconds)


def _parsed(text: str) -> tuple[ServiceStatus, ...]:
    return tuple(sorted(map(_status, json.loads(text)), key=lambda status: status.name))


def _status(record: dict[str, Any]) -> ServiceStatus:
    """Return a service's state from Flox's JSON; drop the pid if it has ended, because the system may reuse it."""
    alive = record["status"] in _ALIVE
    return ServiceStatus(
        name=record["name"],
        status=record["status"],
        pid=record.get("pid") if alive else None,
        exit_code=None if alive else record.get("exit_code"),
    )


def _is_ready(status: ServiceStatus) -> bool:
    return status.status == "Running" or _is_completed(status)


def _is_completed(status: ServiceStatus) -> bool:
    return status.status == "Completed" and status.exit_code == 0


def _is_stopped(status: ServiceStatus) -> bool:
    return status.status not in _ALIVE


_REACHED = {"healthy": _is_ready, "completed": _is_completed, "stopped": _is_stopped}


def _tail(lines: int | None) -> list[str]:
    return [] if lines is None else ["--tail", str(lines)]
