"""Starting a supervisor ahead, while the command that wants services still imports modules and reads the declaration.

That is a tenth of a second of the supervisor's own, on another processor, so that services are ready earlier by nearly
as much. Nobody knows yet whether there is anything to start. So it is done only where services of this user have run
before and none run now. If the command then fails, the supervisor ends, because nobody uses it. Only Esker's own code
runs. Whatever is unusual is left to the usual start in `rendezvous`, which says what is wrong.
"""

from __future__ import annotations

import os

from esker.services.supervised.launch import launch
from esker.services.supervised.record_lock import RecordLock, record_path
from esker.services.supervised.site import COPIED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import contextmanager, suppress

    from esker.services.supervised.launch import Launch
    from esker.services.supervised.site import Site
else:
    from esker.host.context import contextmanager, suppress

__all__ = ["ahead"]

_ANSWER = 20.0
"""Seconds to wait for the supervisor's last answer."""


@contextmanager
def ahead(site: Site | None) -> Iterator[bool]:
    """Let a supervisor start while the block runs, if it will most likely be used; within, services start as always.

    Without a site there is none to start.

    Yield whether one starts: then no process of the services runs yet. After the block the supervisor runs on only if
    services run.
    """
    begun = None if site is None else _begun(site)
    try:
        yield begun is not None
    finally:
        if begun is not None:
            _leave(begun)


def _begun(site: Site) -> Launch | None:
    try:
        if not _is_likely(site):
            return None
        lock = RecordLock(site.dot_flox)
    except OSError:
        return None
    try:
        # Under the lock we look again: another command may just have started or ended a supervisor.
        if lock.try_acquire() and not os.fstat(lock.descriptor).st_size and not os.path.lexists(site.socket):
            return launch(site, lock)
    except Exception:  # noqa: BLE001  (the usual start meets the same, and tells it)
        return None
    finally:
        lock.close()
    return None


def _is_likely(site: Site) -> bool:
    """Return whether services of this user have run here, none seem to run, and a start has nothing to do first."""
    path = record_path(site.dot_flox)
    record = os.lstat(path)
    ours = os.stat(site.dot_flox).st_uid == record.st_uid == os.geteuid()
    return ours and not record.st_size and not os.path.lexists(f"{os.path.dirname(path)}/{COPIED}")


def _leave(begun: Launch) -> None:
    """Leave the supervisor; if nothing runs, return after it has ended and its guardian has cleaned up."""
    from esker.errors import EskerError
    from esker.services.supervised import protocol

    with suppress(EskerError, OSError):  # it has ended, or it has not even begun, which the usual start has told
        begun.greeted().ask(protocol.StatusRequest(), _ANSWER)
