"""The lock of a supervisor record: who looks for a supervisor, starts one or is one that ends holds the file's flock.

A command that starts a supervisor passes the locked file on, and the supervisor gives the lock up when it has greeted.
So nobody else can look in between, even if the command has been killed or does something else meanwhile.
A start of services imports this module first: it imports neither `typing` nor `json`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from esker.declare import project_directory
from esker.host import process_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import suppress
else:
    from esker.host.context import suppress

__all__ = ["RecordLock", "give_up", "record_path"]

_SHORTEST_POLL = 0.001
_LONGEST_POLL = 0.01


def record_path(dot_flox: str) -> str:
    """Return the path of the supervisor record of the environment at `dot_flox`."""
    return f"{dot_flox}/cache/esker/lock"


def give_up(descriptor: int) -> None:
    """Release the flock that we and others have through the same open file, and close our descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


class RecordLock:
    """The open file of a record, created if it is missing. Raises OSError."""

    def __init__(self, dot_flox: str) -> None:
        self._dot_flox = dot_flox
        self.path = record_path(dot_flox)
        owner = os.stat(dot_flox)
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with project_directory.opened(dot_flox, "cache", "esker") as directory:
            try:
                self.descriptor = os.open("lock", flags, dir_fd=directory)
            except FileNotFoundError:
                self.descriptor = os.open("lock", flags | os.O_CREAT, 0o600, dir_fd=directory)
                project_directory.give(self.descriptor, owner)
            except OSError as refusal:
                raise OSError(refusal.errno, refusal.strerror, self.path) from None
        status = os.fstat(self.descriptor)
        self.owner = status.st_uid
        """The uid of the user who, besides root, can write the file."""
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or self.owner not in {os.geteuid(), owner.st_uid}:
            self.close()
            raise OSError(errno.EPERM, "it is a hard link, a special file, or another user's file", self.path)

    def acquire(self, seconds: float) -> bool:
        """Wait for the flock for at most `seconds`; return whether we got it."""
        end, pause = time.monotonic() + seconds, _SHORTEST_POLL
        while not self.try_acquire():
            if time.monotonic() >= end:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL)
        return True

    def try_acquire(self) -> bool:
        """Take the flock if nobody holds it; return whether we got it."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def holder(self) -> process_table.ProcessEntry | None:
        """Return the process that took the flock, or None if we cannot see it."""
        status = os.fstat(self.descriptor)
        file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        with suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
            for _, kind, _, _, pid, place, *_ in map(str.split, locks):
                if (kind, place) == ("FLOCK", file):
                    return process_table.entry(int(pid))
        return None

    def release(self) -> None:
        """Release the flock and close the file, even if a supervisor that we have started has the same open file."""
        give_up(self.descriptor)

    def close(self) -> None:
        """Close the file; a flock stays with the supervisor that the open file was passed to, if there is one."""
        os.close(self.descriptor)
