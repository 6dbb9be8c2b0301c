"""After a supervisor was killed: its services are ended and its files removed, by its guardian or by us.

What still runs is found by the supervisor's record and by the token in the variables of each process. The record may
have come with the project, so it never has more processes ended than its writer could have ended.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import ServiceError
from esker.host import pidfd, process_id, process_table, runtime_directory
from esker.host.process_id import ProcessId
from esker.services.supervised.connection import ENDED, silent
from esker.services.supervised.supervisor_record import SUPERVISOR_VARIABLE
from esker.store import temporary_roots

if TYPE_CHECKING:
    from esker.services.supervised.site import Site
    from esker.services.supervised.supervisor_record import SupervisorRecord

__all__ = ["put_in_order"]

_GRACE = 5.0
"""Seconds for processes to end when they are asked to, and once more when they are killed."""
_POLL = 0.01


def put_in_order(record: SupervisorRecord, site: Site, owner: int) -> None:
    """Wait for the guardian of a supervisor that has ended, or do what it would have done.

    `owner` is the uid of whoever may have written the record.
    """
    if record.boot == process_id.boot_id():
        for process in (record.supervisor, record.guardian):
            with process.opened() as descriptor:
                if descriptor is not None and not pidfd.wait(descriptor, ENDED):
                    raise silent(process.pid)
        _end_leftovers(record, owner)
    for store in record.stores:
        temporary_roots.remove(store, record.token)
    if site.owns(record):
        with suppress(OSError):
            os.unlink(record.socket)
        runtime_directory.clear(record.socket.removesuffix(".sock"))


def _end_leftovers(record: SupervisorRecord, owner: int) -> None:
    """End what the services have left: by SIGTERM for a grace, then by SIGKILL; raises ServiceError for what stays."""
    deadline = time.monotonic() + _GRACE
    signalled: set[int] = set()
    while left := _leftovers(record, owner):
        late = time.monotonic() - deadline
        if late > _GRACE:
            if all(entry.ended for entry in left):
                return
            raise ServiceError(f"process {left[0].pid} (`{left[0].program}`) of a killed supervisor cannot be ended")
        for entry in left:
            if late >= 0 or entry.pid not in signalled:
                signalled.add(entry.pid)
                with suppress(OSError):
                    os.kill(entry.pid, signal.SIGKILL if late >= 0 else signal.SIGTERM)
        with ProcessId(left[0].pid, left[0].start).opened() as descriptor:
            if descriptor is not None:
                pidfd.wait(descriptor, 0.1 if late >= 0 else -late)
            else:  # a zombie is init's to take away; until then PostgreSQL believes that its server runs
                time.sleep(_POLL)


def _leftovers(record: SupervisorRecord, owner: int) -> list[process_table.Entry]:
    """Return the processes of the services that `record` names: recorded ones, their sessions, and the token's bearers.

    Zombies are among them. Where the record is not our own word, what it names is only the processes of its `owner`.
    """
    processes = process_table.table()
    sessions = dict(record.sessions)
    ours = {os.getpid(), *process_table.ancestors(os.getpid(), processes)}

    def belongs(entry: process_table.Entry) -> bool:
        if process_table.environment(entry.pid).get(SUPERVISOR_VARIABLE.encode()) == record.token.encode():
            return True
        if owner != os.geteuid() and process_table.owner(entry.pid) != owner:
            return False
        if (entry.pid, entry.start) in record.sessions:
            return True
        # A number in use as a session is given to no new process; if its leader is another one, so is the session.
        leader = processes.get(entry.session)
        return entry.session in sessions and (leader is None or leader.start == sessions[entry.session])

    roots = {entry.pid: entry for entry in processes.values() if entry.pid not in ours and belongs(entry)}
    family = roots | {entry.pid: entry for entry in process_table.descendants(roots, processes)}
    return sorted(family.values(), key=lambda entry: entry.ended)
