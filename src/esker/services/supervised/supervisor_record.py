"""The supervisor record: one file below `.flox/cache`, by which all who use an environment's services find each other.

Whoever looks for the supervisor, starts one, or is one that ends holds the file's flock meanwhile. The file has two
lines of JSON: the first names the supervisor and is written once; the second says what runs, and is written again in
place with each change.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from esker.declare import project_directory
from esker.host import process_id, process_table, state_file
from esker.host.process_id import ProcessId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SUPERVISOR_VARIABLE", "RecordFile", "SupervisorRecord", "record_path", "services_are_running"]

SUPERVISOR_VARIABLE = "ESKER_SUPERVISOR"
"""Holds the token of its supervisor in the environment of every process of the services."""
_POLL = 0.01
_PIDS = 1 << 22
"""Linux has no pid above it."""
_RUNS = {"sessions", "stores"}
"""What stands in the second line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorRecord:
    """Who supervises the services of an environment, and what runs."""

    token: str
    """Tells the processes of this supervisor from all others."""
    dot_flox: str
    socket: str
    host: str
    boot: str
    uid: int
    guardian: ProcessId
    supervisor: ProcessId
    sessions: tuple[ProcessId, ...] = ()
    """The programs that were started; each leads a session."""
    stores: tuple[str, ...] = ()
    """The root directories of the stores in which the supervisor has a temporary root; `token` is its name."""


def record_path(dot_flox: str) -> str:
    """Return the path of the supervisor record of the environment at `dot_flox`."""
    return f"{dot_flox}/cache/esker/lock"


def services_are_running(dot_flox: str) -> bool:
    """Return whether services of the environment at `dot_flox` run, here or on another machine."""
    record = _read(dot_flox)
    if record is None or record.host != os.uname().nodename:
        return record is not None
    return record.boot == process_id.boot_id() and record.supervisor.lives


def _read(dot_flox: str) -> SupervisorRecord | None:
    """Return the record of the environment, if there is one that we may read; nothing is made."""
    if not os.path.exists(record_path(dot_flox)):
        return None
    try:
        file = RecordFile(dot_flox)
    except OSError:  # it is not ours to open, so nothing of ours runs by it
        return None
    try:
        return file.read()
    finally:
        file.close()


class RecordFile:
    """The file of a record, open; `close` gives the flock back. Raises OSError."""

    def __init__(self, dot_flox: str) -> None:
        self.path = record_path(dot_flox)
        owner = os.stat(dot_flox)
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with project_directory.opened(dot_flox, "cache", "esker") as directory:
            try:
                self._descriptor = os.open("lock", flags, dir_fd=directory)
            except FileNotFoundError:
                self._descriptor = os.open("lock", flags | os.O_CREAT, 0o600, dir_fd=directory)
                project_directory.give(self._descriptor, owner)
            except OSError as refusal:
                raise OSError(refusal.errno, refusal.strerror, self.path) from None
        status = os.fstat(self._descriptor)
        self.owner = status.st_uid
        """The uid of the user who can write it, besides root."""
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or self.owner not in {os.geteuid(), owner.st_uid}:
            self.close()
            raise OSError(errno.EPERM, "it is no file of ours alone", self.path)
        self._length = 0

    def acquire(self, seconds: float) -> bool:
        """Wait for the flock for `seconds` at most, and return whether it was taken."""
        end = time.monotonic() + seconds
        while not self.try_acquire():
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL)
        return True

    def try_acquire(self) -> bool:
        """Take the flock if nobody holds it, and return whether it was taken."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def holder(self) -> process_table.Entry | None:
        """Return the process that has taken the flock, or None when that cannot be seen."""
        status = os.fstat(self._descriptor)
        file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        with suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
            for _, kind, _, _, pid, place, *_ in map(str.split, locks):
                if (kind, place) == ("FLOCK", file):
                    return process_table.entry(int(pid))
        return None

    def close(self) -> None:
        """Close the file; with it goes the flock."""
        os.close(self._descriptor)

    def read(self) -> SupervisorRecord | None:
        """Return what is written, or None when there is no supervisor, as far as the file says."""
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        first, _, rest = data.partition(b"\n")
        try:
            named = state_file.parse(first) or {}
            if not named.keys().isdisjoint(_RUNS):
                return None
            named |= {name: ProcessId(*named[name]) for name in ("guardian", "supervisor")}
            record = SupervisorRecord(**named)
        except (ValueError, TypeError, KeyError):
            return None
        if not _is_well_formed(record):
            return None
        # The second line may be cut when its writer was killed: then the first alone must do.
        with suppress(ValueError, TypeError, KeyError):
            runs = state_file.parse(rest.partition(b"\n")[0]) or {}
            sessions = tuple(ProcessId(int(pid), int(start)) for pid, start in runs["sessions"])
            return SupervisorRecord(**named, sessions=sessions, stores=tuple(map(str, runs.get("stores", ()))))
        return record

    def write(self, record: SupervisorRecord) -> None:
        """Name the supervisor."""
        named = {name: value for name, value in asdict(record).items() if name not in _RUNS}
        os.ftruncate(self._descriptor, 0)
        self._length = os.pwrite(self._descriptor, json.dumps(named).encode() + b"\n", 0)
        self.update(record.sessions, record.stores)

    def update(self, sessions: Iterable[ProcessId], stores: Iterable[str]) -> None:
        """Say what runs; only the supervisor that `write` named does, and it needs no flock for that."""
        runs: Mapping[str, object] = {"sessions": list(sessions), "stores": list(stores)}
        data = json.dumps(runs).encode() + b"\n"
        os.pwrite(self._descriptor, data, self._length)
        os.ftruncate(self._descriptor, self._length + len(data))

    def clear(self) -> None:
        """Say that there is no supervisor."""
        os.ftruncate(self._descriptor, 0)


def _is_well_formed(record: SupervisorRecord) -> bool:
    """Return whether the fields that `write` writes are what they must be: the file may have come with the project."""
    texts = (record.token, record.dot_flox, record.socket, record.host, record.boot)
    numbers = (record.uid, *record.guardian, *record.supervisor)
    of_their_types = all(isinstance(text, str) for text in texts) and all(type(number) is int for number in numbers)
    return of_their_types and all(0 < pid <= _PIDS for pid, _ in (record.guardian, record.supervisor))
