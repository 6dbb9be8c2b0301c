"""Files in memory, without a name, for text that another program reads and that must not be written to disk."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import suppress
else:
    from esker.host.context import suppress

__all__ = ["descriptor_path", "memory_file"]

_LOW = 10


def memory_file(text: str = "", *, lowest: int = 3) -> int:
    """Return the descriptor of a new file that holds `text`; children inherit it only if the caller arranges that.

    The descriptor is `lowest` or higher, if the limit on open files allows that. On systems without files in memory, it
    is a file on disk whose name has been removed and that only its owner could ever read.
    """
    import fcntl

    with open(_nameless(), "wb") as file:
        file.write(os.fsencode(text))
        file.seek(0)
        for number in (lowest, _LOW):
            with suppress(OSError):  # the limit on open files may be below that number
                return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, number)
        return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 3)


def descriptor_path(descriptor: int) -> str:
    """Return the path at which a program can open a descriptor that it has inherited."""
    directory = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return f"{directory}/{descriptor}"


def _nameless() -> int:
    if sys.platform == "linux":
        return os.memfd_create("esker")
    import tempfile

    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor
