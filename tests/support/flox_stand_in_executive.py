"""The stand-in's executive: a process that an environment has while others are attached to it, and its services."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.flox_stand_in_state import Answer, Environment, Failure, composed, replayed, start

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NOT_STARTED", "attach", "log_path", "statuses"]

NOT_STARTED = (
    "Services not started or quit unexpectedly.\n\n"
    "To start services, run 'flox services start' in an activated environment,\n"
    "or activate the environment with 'flox activate --start-services'."
)
_GRACE = 5.0


def attach(env: Environment, mode: str, pid: int, *, starting: bool = False, seconds: float = 0) -> dict[str, str]:
    """Attach a process to the environment, which starts unless it has; return the process's variables inside."""
    inside = composed(env, mode, starting=starting)
    with env.alone():
        answer = env.ask(do="attach", pid=pid, mode=mode, seconds=seconds)
        if answer is None:
            change = start(env, inside)
            launch(env, mode, change, replayed(change, inside))
            answer = env.ask(do="attach", pid=pid, mode=mode, seconds=seconds)
    if answer is None or "error" in answer:
        raise Failure(answer["error"] if answer else "the executive has ended")
    return replayed(answer["change"], inside)


def launch(env: Environment, mode: str, change: Answer, variables: dict[str, str]) -> None:
    """Start the executive, which is nobody's child."""
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(env.socket)
    listener.bind(env.socket)
    listener.listen(64)
    if (child := os.fork()) == 0:
        if os.fork() == 0:
            os.setsid()
            os.makedirs(f"{env.dot_flox}/log", exist_ok=True)  # git keeps no empty directory
            log = os.open(f"{env.dot_flox}/log/executive.{os.getpid()}.log", os.O_WRONLY | os.O_CREAT, 0o600)
            for number, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
                os.dup2(number, target)
            kept = listener.fileno()
            os.closerange(3, kept)
            os.closerange(kept + 1, 1024)
            Executive(env, mode, change, variables, listener).run()
        os._exit(0)
    os.waitpid(child, 0)
    listener.close()


class Service:
    """A service of the executive's."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = False

    def record(self, name: str) -> Answer:
        """Return what `services status --json` shows."""
        if self.process is None:
            return {"name": name, "status": "Stopped", "pid": None, "exit_code": None}
        code = self.process.poll()
        status = "Running" if code is None else "Completed"
        known = None if code is None or code < 0 else code  # process-compose says -1 for an end by a signal
        return {"name": name, "status": status, "pid": self.process.pid, "exit_code": known}

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self.process is not None and self.process.poll() is None


class Executive:
    """What runs an environment's services while processes are attached to it."""

    def __init__(
        self,
        env: Environment,
        mode: str,
        change: Answer,
        variables: dict[str, str],
        listener: socket.socket,
    ) -> None:
        self.env, self.mode, self.change, self.variables, self.listener = env, mode, change, variables, listener
        self.attached: dict[int, int] = {}
        self.expires: dict[int, float] = {}
        self.declared: dict[str, Answer] = {}
        self.services: dict[str, Service] = {}

    def run(self) -> None:
        """Serve until the last process has left."""
        self.answer()
        while self.attached or self.expires or not self.ended():
            watched = select.poll()
            for number in (self.listener.fileno(), *self.attached.values()):
                watched.register(number, select.POLLIN)
            now = time.monotonic()
            wait = min((each - now for each in self.expires.values()), default=60.0)
            ready = {number for number, _ in watched.poll(max(0.0, wait) * 1000)}
            if self.listener.fileno() in ready:
                self.answer()
            for pid, number in list(self.attached.items()):
                if number in ready:
                    self.detach(pid)
            self.expires = {pid: each for pid, each in self.expires.items() if each > time.monotonic()}

    def ended(self) -> bool:
        """End, unless somebody is about to attach."""
        with self.env.alone():
            if select.select([self.listener], [], [], 0)[0]:
                self.answer()
                return False
            self.end()
            return True

    def detach(self, pid: int) -> None:
        """Forget a process."""
        os.close(self.attached.pop(pid))

    def answer(self) -> None:
        """Take one request and answer it."""
        with self.listener.accept()[0] as connection:
            request = json.loads(connection.makefile().readline())
            reply = getattr(self, f"do_{request.pop('do')}")(**request)
            connection.sendall(json.dumps(reply).encode() + b"\n")

    def do_attach(self, pid: int, mode: str, seconds: float, leaves: int = 0) -> Answer:
        """Attach a process, for some seconds or until it ends."""
        if mode != self.mode:
            pids = ", ".join(map(str, self.attached))
            return {
                "error": f"Environment can't be activated in '{mode}' mode whilst there are existing activations in "
                f"'{self.mode}' mode\n\nExit all activations of the environment and try again.\n"
                f"PIDs of the running activations: {pids}"
            }
        self.expires.pop(leaves, None)
        if seconds:
            self.expires[pid] = time.monotonic() + seconds
        elif pid not in self.attached:
            with contextlib.suppress(ProcessLookupError):
                self.attached[pid] = os.pidfd_open(pid)
        return {"change": self.change}

    def do_start(self, names: list[str], declared: dict[str, Answer], *, restart: bool) -> Answer:
        """Start services; what is declared is taken over while none runs."""
        if not any(service.running for service in self.services.values()):
            self.declared = declared
            self.services = {name: self.services.get(name, Service()) for name in declared}
        late = [name for name in names if name not in self.services]
        if late:
            return {
                "error": f"Service '{late[0]}' was defined after services were started.\n\n"
                "To use the service, restart services with 'flox services restart'"
            }
        told = []
        for name in names or sorted(self.services):
            service, word = self.services[name], "started"
            if service.running and not restart:
                told.append(f"! Service '{name}' is already running.")
                continue
            if service.running:
                stop([service])
                word = "restarted"
            self.spawn(name, service)
            told.append(f"✔ Service '{name}' {word}.")
        return {"told": told}

    def spawn(self, name: str, service: Service) -> None:
        """Run a service's command."""
        extra = self.declared[name].get("vars", {})
        path = log_path(self.env, name)
        with open(path, "ab") as log:
            service.process = subprocess.Popen(
                ["bash", "-c", self.declared[name]["command"]],
                env=self.variables | extra,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def do_stop(self, names: list[str]) -> Answer:
        """Stop services, all without names."""
        if not self.services:
            return {"error": NOT_STARTED}
        told, ending = [], []
        for name in names or sorted(self.services):
            service = self.services.get(name, Service())
            if service.running:
                ending.append(service)
                told.append(f"✔ Service '{name}' stopped")
            elif names:
                told.append(f"! Service '{name}' is not running")
        stop(ending)
        return {"told": told}

    def do_status(self) -> Answer:
        """Return what is known of the services."""
        return {"services": [self.services[name].record(name) for name in self.services]}

    def end(self) -> None:
        """Stop the services, run the hook's end, and remove what was kept."""
        self.listener.close()
        os.unlink(self.env.socket)
        stop(service for service in self.services.values() if service.running)
        script = self.env.manifest.get("hook", {}).get("on-deactivate")
        if script:
            subprocess.run(["bash", "-c", script], env=self.variables, stdin=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.env.state, ignore_errors=True)


def stop(services: Iterable[Service]) -> None:
    """End services with all they started: by a signal, and by force when that does not do."""
    ending = [service.process for service in services if service.process]
    for number, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        for process in ending:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        for process in ending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        ending = [process for process in ending if process.poll() is None]


def log_path(env: Environment, name: str) -> str:
    """Return where a service's output goes."""
    return f"{env.dot_flox}/log/services.{name.replace('/', '_')}.log"


def statuses(env: Environment) -> list[Answer]:
    """Return the state of each service, by name."""
    found = {name: Service().record(name) for name in env.services}
    answer = env.ask(do="status")
    known: list[Answer] = answer["services"] if answer else []
    found |= {str(each["name"]): each for each in known}
    return [found[name] for name in sorted(found)]
