"""A directory for the temporary files of other programs, which lasts as long as the processes that use it.

A command that takes our place by exec ends without telling anybody, so a small process waits for its end. Every
activation that gives programs such a directory runs this module: at its top it imports nothing heavy.
"""

from __future__ import annotations

import os

__all__ = ["make", "remove", "remove_after"]

_PREFIX = "esker-shell."
_TRIES = 16


def make(above: str | None) -> str:
    """Return a new directory that only this user can enter, in `above` (TMPDIR); raises HostError."""
    top = above if above and os.path.isabs(above) else "/tmp"  # noqa: S108 - the mode and the name keep others out
    refusal: OSError | None = None
    for _ in range(_TRIES):
        path = f"{top}/{_PREFIX}{os.urandom(6).hex()}"
        try:
            os.mkdir(path, 0o700)
        except FileExistsError as error:
            refusal = error
        except OSError as error:
            refusal = error
            break
        else:
            return path
    from esker.errors import HostError

    raise HostError(
        f"cannot make a directory for temporary files in `{top}`: {((refusal and refusal.strerror) or '').lower()}",
        hint="name a directory in TMPDIR that exists and that you may write to",
    )


def remove(path: str) -> None:
    """Remove a directory that `make` has made, with all that is in it; what cannot be removed stays."""
    from contextlib import suppress

    from esker.errors import EskerError
    from esker.host.trees import remove_tree

    if os.path.basename(path).startswith(_PREFIX):
        with suppress(OSError, EskerError):
            remove_tree(path)


def remove_after(path: str) -> None:
    """Have the directory removed when this process has ended, or the program that takes its place.

    Only for a process with a single thread. Where a system gives no descriptor for a process, the directory stays.
    """
    if not hasattr(os, "pidfd_open"):
        return
    try:
        descriptor = os.pidfd_open(os.getpid())
        child = os.fork()
        if child == 0:
            try:
                if os.fork() == 0:
                    _wait(descriptor)
                    remove(path)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(descriptor)
    except OSError:  # no process more can be started: the directory stays
        pass


def _wait(descriptor: int) -> None:
    """Wait, in a session of our own and without any other open file, until the process has ended."""
    import select

    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 1024)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()
