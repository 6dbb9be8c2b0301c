"""The supervisor record: a file below `.flox/cache` that leads commands to the supervisor of an environment.

The file has two lines of JSON. The first describes the supervisor and is written once. The second says what runs; the
supervisor overwrites it at each change. `record_lock` has the file's lock.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.host import process_id, runtime_directory, state_file
from esker.host.frozen_dataclass import as_dict
from esker.host.process_id import ProcessId
from esker.services.supervised.record_lock import RecordLock, record_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from dataclasses import dataclass
else:
    from esker.host.frozen_dataclass import dataclass

__all__ = ["SUPERVISOR_VARIABLE", "RecordFile", "SupervisorRecord", "services_are_running"]

SUPERVISOR_VARIABLE = "ESKER_SUPERVISOR"
"""The variable in the environment of every process of the services that holds their supervisor's token."""
_PIDS = 1 << 22
"""The greatest pid on Linux."""
_RUNS = {"sessions", "stores"}
"""The fields in the second line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorRecord:
    """Which processes supervise the services of an environment, and what runs."""

    token: str
    """A random text that marks the processes of this supervisor."""
    dot_flox: str
    socket: str
    host: str
    boot: str
    uid: int
    guardian: ProcessId
    supervisor: ProcessId
    sessions: tuple[ProcessId, ...] = ()
    """The programs that the supervisor started; each leads a session."""
    stores: tuple[str, ...] = ()
    """The root directories of the stores where the supervisor has a temporary root; `token` is the root's name."""


def services_are_running(dot_flox: str) -> bool:
    """Return whether services of the environment at `dot_flox` run, on this machine or on another."""
    record = _read(dot_flox)
    if record is None or record.host != os.uname().nodename:
        return record is not None
    return record.boot == process_id.boot_id() and record.supervisor.lives


def _read(dot_flox: str) -> SupervisorRecord | None:
    """Return the environment's record, or None if there is none or we may not open it; never create the file."""
    if not os.path.exists(record_path(dot_flox)):
        return None
    try:
        file = RecordFile(dot_flox)
    except OSError:  # we may not open it, so our services cannot have written it
        return None
    try:
        return file.read()
    finally:
        file.close()


class RecordFile(RecordLock):
    """The open file of a record, and what stands in it."""

    def __init__(self, dot_flox: str) -> None:
        super().__init__(dot_flox)
        self._length = 0

    def read(self) -> SupervisorRecord | None:
        """Return the record; None if the file names no supervisor, is malformed or was copied with its environment."""
        data = os.pread(self.descriptor, os.fstat(self.descriptor).st_size, 0)
        first, _, rest = data.partition(b"\n")
        try:
            fields = state_file.parse(first) or {}
            if not fields.keys().isdisjoint(_RUNS):
                return None
            fields |= {name: ProcessId(*fields[name]) for name in ("guardian", "supervisor")}
            record = SupervisorRecord(**fields)
        except (ValueError, TypeError, KeyError):
            return None
        if not _is_well_formed(record) or _is_copied(record, self._dot_flox):
            return None
        # The second line may be incomplete if the supervisor was killed while writing: then we use only the first.
        with suppress(ValueError, TypeError, KeyError):
            runs = state_file.parse(rest.partition(b"\n")[0]) or {}
            sessions = tuple(ProcessId(int(pid), int(start)) for pid, start in runs["sessions"] if int(pid) > 1)
            return SupervisorRecord(**fields, sessions=sessions, stores=tuple(map(str, runs.get("stores", ()))))
        return record

    def write(self, record: SupervisorRecord) -> None:
        """Write the whole record; a new supervisor does so once."""
        fields = {name: value for name, value in as_dict(record).items() if name not in _RUNS}
        os.ftruncate(self.descriptor, 0)
        self._length = os.pwrite(self.descriptor, json.dumps(fields).encode() + b"\n", 0)
        self.update(record.sessions, record.stores)

    def update(self, sessions: Iterable[ProcessId], stores: Iterable[str]) -> None:
        """Overwrite the second line; only the supervisor in the first line does so, without the flock."""
        runs: Mapping[str, object] = {"sessions": list(sessions), "stores": list(stores)}
        data = json.dumps(runs).encode() + b"\n"
        os.pwrite(self.descriptor, data, self._length)
        os.ftruncate(self.descriptor, self._length + len(data))

    def clear(self) -> None:
        """Empty the file: there is no supervisor any more."""
        os.ftruncate(self.descriptor, 0)


def _is_well_formed(record: SupervisorRecord) -> bool:
    """Return whether the fields of the first line have valid values; the file may have come with the project."""
    texts = (record.token, record.dot_flox, record.socket, record.host, record.boot)
    numbers = (record.uid, *record.guardian, *record.supervisor)
    of_their_types = all(isinstance(text, str) for text in texts) and all(type(number) is int for number in numbers)
    return of_their_types and all(1 < pid <= _PIDS for pid, _ in (record.guardian, record.supervisor))


def _is_copied(record: SupervisorRecord, dot_flox: str) -> bool:
    """Return whether the record in `dot_flox` is that of another environment, which still exists.

    Then `dot_flox` is a copy of that environment. If it was moved instead, the recorded path is missing or leads to a
    new directory; we know this by the inode in the name of the socket.
    """
    try:
        original, here = os.stat(record.dot_flox), os.stat(dot_flox)
    except (OSError, ValueError):
        return False
    if os.path.samestat(original, here):
        return False
    ours = f"{runtime_directory.directory_name(record.dot_flox, here.st_ino)}.sock"
    return original.st_ino == here.st_ino or os.path.basename(record.socket) != ours
