"""Cleaning up after a killed supervisor: ending its services and removing its files, if its guardian did not.

We find the processes by the supervisor's record and by the token in the variables of each process. The record may have
come with the project, so we believe what it says of pids only for processes of its writer. A token is believed for any
process: nobody but the supervisor and its services know it.
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
from esker.services.supervised import sudden_end
from esker.services.supervised.connection import END_SECONDS, no_answer
from esker.services.supervised.supervisor_record import SUPERVISOR_VARIABLE
from esker.store import temporary_roots

if TYPE_CHECKING:
    from esker.services.supervised.site import Site
    from esker.services.supervised.supervisor_record import RecordFile, SupervisorRecord

__all__ = ["clean_up_after"]

_GRACE = 5.0
"""Seconds that we give processes to end after SIGTERM, and again after SIGKILL."""
_POLL = 0.01


def clean_up_after(record: SupervisorRecord, site: Site, file: RecordFile) -> None:
    """Wait for a supervisor and its guardian to end, then clean up what they have not, if they were killed.

    `file` is that of the record, and is empty if they have. Raises TimedOut if one of the two does not end.
    """
    if record.boot == process_id.boot_id():
        for process in (record.supervisor, record.guardian):
            if not process_id.is_ours(process.pid):
                continue  # a stranger's process is no supervisor of ours, whatever the file says
            with process.opened() as descriptor:
                if descriptor is not None and not pidfd.wait(descriptor, END_SECONDS):
                    raise no_answer(process.pid)
        if file.read() is None:
            return
        _end_leftovers(record, file.owner)
        if site.owns(record):
            sudden_end.record(site)
    for store in record.stores:
        temporary_roots.remove(store, record.token)
    if site.owns(record):
        with suppress(OSError):
            os.unlink(record.socket)
        runtime_directory.clear(record.socket.removesuffix(".sock"))


def _end_leftovers(record: SupervisorRecord, owner: int) -> None:
    """End the remaining processes with SIGTERM, then SIGKILL.

    Raises ServiceError if one of them does not end; a zombie that nobody takes away is passed over.
    """
    deadline = time.monotonic() + _GRACE
    signalled: set[int] = set()
    while leftovers := _leftovers(record, owner):
        overdue = time.monotonic() - deadline
        if overdue > _GRACE:
            first = leftovers[0]
            if all(entry.ended for entry in leftovers):
                return
            raise ServiceError(
                f"cannot end process {first.pid} (`{first.program}`), which a killed supervisor left behind"
            )
        for entry in leftovers:
            if overdue >= 0 or entry.pid not in signalled:
                signalled.add(entry.pid)
                with suppress(OSError):
                    os.kill(entry.pid, signal.SIGKILL if overdue >= 0 else signal.SIGTERM)
        with ProcessId(leftovers[0].pid, leftovers[0].start).opened() as descriptor:
            if descriptor is not None:
                pidfd.wait(descriptor, 0.1 if overdue >= 0 else -overdue)
            else:  # a zombie, which only its parent takes away: until then PostgreSQL believes that its server runs
                time.sleep(_POLL)


def _leftovers(record: SupervisorRecord, owner: int) -> list[process_table.ProcessEntry]:
    """Return the processes, zombies included, that belong to the supervisor of `record`, living ones first.

    These are the recorded session leaders, all processes of their sessions, all processes that have the token in their
    variables, and the descendants of all these; never this process or one above it. If the record file is not ours,
    what it says of pids counts only for processes of its `owner`.
    """
    processes = process_table.table()
    sessions = dict(record.sessions)
    spared = {1, os.getpid(), *process_table.ancestors(os.getpid(), processes)}

    def belongs(entry: process_table.ProcessEntry) -> bool:
        if process_table.environment(entry.pid).get(SUPERVISOR_VARIABLE.encode()) == record.token.encode():
            return True
        if owner != os.geteuid() and process_table.owner(entry.pid) != owner:
            return False
        if (entry.pid, entry.start) in record.sessions:
            return True
        # The kernel gives no new process the number of a session that is in use. So if a process has this number but
        # another start time, the recorded session has ended and this is a new one.
        leader = processes.get(entry.session)
        return entry.session in sessions and (leader is None or leader.start == sessions[entry.session])

    roots = {entry.pid: entry for entry in processes.values() if entry.pid not in spared and belongs(entry)}
    family = roots | {entry.pid: entry for entry in process_table.descendants(roots, processes)}
    return sorted(family.values(), key=lambda entry: entry.ended)
