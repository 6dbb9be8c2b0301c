"""Files without a name, for texts that a program is to read and that must not reach a disk."""

from __future__ import annotations

import os
import sys

__all__ = ["descriptor_path", "memory_file"]

_LOW = 10


def memory_file(text: str = "", *, lowest: int = 3) -> int:
    """Return the descriptor of a new file that holds the text; a child inherits it when told to.

    It is `lowest` or above where the limit of open files allows that.

    Where the system has no files in memory it is one on disk that has no name any more and only its owner could read.
    """
    import fcntl

    with open(_nameless(), "wb") as file:
        file.write(os.fsencode(text))
        file.seek(0)
        try:
            return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, lowest)
        except OSError:  # no descriptor may have such a number here
            return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, min(lowest, _LOW))


def descriptor_path(descriptor: int) -> str:
    """Return the path by which a program opens a descriptor that it has inherited."""
    directory = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return f"{directory}/{descriptor}"


def _nameless() -> int:
    if sys.platform == "linux":
        return os.memfd_create("esker")
    import tempfile

    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor
