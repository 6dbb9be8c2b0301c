"""Finding the supervisor of an environment, or starting one that all commands then share.

A command holds the lock of the environment's supervisor record while it looks for a supervisor or starts one.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.errors import HostError, ServiceError, TimedOut
from esker.host import accounts, files, pidfd, process_id, process_table, runtime_directory
from esker.services.supervised.connection import END_SECONDS, GREETING_SECONDS, Connection, dial, no_answer
from esker.services.supervised.launch import launch
from esker.services.supervised.record_lock import record_path
from esker.services.supervised.site import COPIED
from esker.services.supervised.supervisor_record import RecordFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.services.supervised.site import Site
    from esker.services.supervised.supervisor_record import SupervisorRecord

__all__ = ["connect"]

_HELD = 60.0
"""Seconds that another command may hold the flock before we give up."""
_ALONE = "services belong to one user at a time"


def connect(site: Site, *, start: bool) -> Connection | None:
    """Return a connection to the supervisor of `site`; if there is none, start one (with `start`) or return None."""
    if not start and _is_idle(record_path(site.dot_flox)):
        return _dial_unrecorded(site)
    since = time.monotonic()
    with _held(site) as file:
        record = file.read()
        if record and (connection := _dial_recorded(record, site, time.monotonic() - since)):
            return connection
        if record:
            from esker.services.supervised.aftermath import clean_up_after

            clean_up_after(record, site, file)
            file.clear()
        elif start:
            _end_unrecorded(site)
        if not start:
            return None
        if os.path.lexists(f"{os.path.dirname(file.path)}/{COPIED}"):
            from esker.services.supervised.sibling_data import settle

            settle(site.dot_flox)
        return launch(site, file).greeted()


def _is_idle(path: str) -> bool:
    """Return whether the record is missing, or is empty and not writable for us, as in a read-only project."""
    with files.refused("look at", path, HostError, remedy=_ALONE):
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return True
    return not status.st_size and not os.access(path, os.W_OK)


@contextmanager
def _held(site: Site) -> Iterator[RecordFile]:
    """Open the record of `site` and hold its flock until the end of the block."""
    path = record_path(site.dot_flox)
    remedy = f"services need to write below `.flox/cache`, and {_ALONE.removeprefix('services ')}"
    with files.refused("lock", path, HostError, remedy=remedy):
        file = RecordFile(site.dot_flox)
    try:
        if not file.acquire(_HELD):
            raise _held_by_another(file)
        yield file
    finally:
        file.release()


def _held_by_another(file: RecordFile) -> TimedOut:
    holder = file.holder()
    who = f"`{holder.program}` (pid {holder.pid})" if holder else "another process"
    end = f"`kill -9 {holder.pid}`" if holder and process_id.is_ours(holder.pid) else "let its user end it"
    return TimedOut(
        f"{who} has held `{file.path}` for {_HELD:g} s",
        hint=f"if it was suspended, resume it with `fg` in its shell; else {end}",
    )


def _dial_recorded(record: SupervisorRecord, site: Site, waited: float) -> Connection | None:
    """Return a connection to the supervisor that `record` names, or None if it has ended.

    `waited` are the seconds that we waited for the flock. If the supervisor is suspended, they count as seconds without
    a greeting: else each of many commands would wait only after the one before it has given up.

    Raises ServiceError if it runs on another machine or as another user.
    """
    host, uid = os.uname().nodename, os.geteuid()
    if record.host != host:
        raise ServiceError(
            f"the services of this environment run on the machine `{record.host}` (pid {record.supervisor.pid})",
            hint=f"stop them there; if that machine is gone, remove `{record_path(record.dot_flox)}`",
        )
    if record.boot != process_id.boot_id() or not record.supervisor.lives:
        return None
    if record.uid != uid:
        raise ServiceError(
            f"the services of this environment are run by {accounts.described(record.uid)}, and this process runs as "
            f"{accounts.described(uid)}",
            hint="run the command as that user, or work in a clone of your own",
        )
    if not site.owns(record):
        return None
    process = process_table.entry(record.supervisor.pid)
    if process and process.stopped and waited >= GREETING_SECONDS / 2:
        raise no_answer(process.pid)
    try:
        return dial(record.socket)
    except TimeoutError:
        raise no_answer(record.supervisor.pid) from None
    except OSError:
        return None  # it is about to end


def _dial_unrecorded(site: Site) -> Connection | None:
    """Return a connection to a supervisor at our socket that has no record, such as after `.flox/cache` was removed."""
    if not runtime_directory.is_private(os.path.dirname(site.socket)):
        return None
    try:
        return dial(site.socket)
    except OSError:
        return None


def _end_unrecorded(site: Site) -> None:
    """End a supervisor that has no record, so that all commands share the one that we start."""
    with suppress(OSError, ServiceError):
        connection = _dial_unrecorded(site)
        if connection:
            with connection, pidfd.opened(connection.guardian) as guardian:
                if not process_id.is_ours(connection.supervisor):
                    return
                os.kill(connection.supervisor, signal.SIGTERM)
                if guardian is not None:
                    pidfd.wait(guardian, END_SECONDS)
