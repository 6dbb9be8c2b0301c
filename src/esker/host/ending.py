"""How a command's process ends: at once, when all that is registered with `atexit` has run.

Python's own end looks for garbage and then frees each module by itself. After a command with hundreds of modules that
takes 20 ms, and a thread of rattler's that still needs the interpreter crashes then. The system takes back all at once.
"""

from __future__ import annotations

import atexit
import os
import sys

__all__ = ["end_with", "is_at_once", "prepare"]

_status: list[int] = []
"""The status, once it is known."""


def prepare() -> None:
    """Have this process end at once; call it first, because what is registered before would not run any more.

    Without a status, as after an error that nobody has caught, it ends as every process of Python's.
    """
    atexit.register(_end)


def end_with(status: int) -> int:
    """Say which status the process ends with, and return it."""
    _status[:] = [status]
    return status


def is_at_once() -> bool:
    """Return whether the process, if it is ending, does so at once."""
    return bool(_status)


def _end() -> None:
    if not _status:
        return
    from esker.host.context import suppress

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody could be told any more
            stream.flush()
    os._exit(_status[0])
