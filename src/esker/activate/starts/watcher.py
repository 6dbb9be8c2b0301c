"""The watcher: a process that waits until the last user of a start has left, and then runs `hook.on-deactivate`.

A command that has taken Esker's place by exec ends without telling anybody, and so does a shell. So the watcher waits
for one attached process at a time. When that process has ended, or when a signal tells it to, it reads the registry
again. After the hook it removes the start.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` builds enumerations, which takes 1 ms
import os

from esker.activate.starts import registry
from esker.host import temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import suppress

    from esker.activate.starts.start import Member, Start
else:
    from esker.host.context import suppress

__all__ = ["watch"]

_OUTLIVED = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT)
"""Signals that do not end the watcher. Whoever ends the whole session with one also ends the attached processes, and
the watcher's work begins only then."""
_LOOK = 500
"""Milliseconds between two looks at the registry on a system that has no pidfd to wait for the end of a process."""


def watch(
    path: str, token: str, script: str | None, environ: Mapping[str, str], log: str, directory: str | None = None
) -> None:
    """Wait until no process uses the start `token` of the registry at `path`; then run `script`, if any, in `environ`.

    The output of the script goes to the file `log`. After it the `directory` of the start's temporary files is removed.
    """
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("esker-watcher")
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    _signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    for number in (registry.WAKE, *_OUTLIVED):
        _signal.signal(number, lambda *_: None)  # not SIG_IGN, which the script would inherit
    while (start := _start(path, token)) is not None and start.members:
        _wait(start.members[0], wake_reader)
    if start is not None and script is not None:
        _run(script, environ, log)
        registry.remove_start(path, start)
    if directory is not None:
        temporary.remove(directory)
    with suppress(FileNotFoundError):  # the file is left only if somebody else has removed the registry
        os.unlink(f"{path}.{token}")


def _start(path: str, token: str) -> Start | None:
    """Return the start as it is now, without the processes that have ended, or None if the start is gone."""
    with registry.locked_starts(path) as starts:
        return next((start for start in starts if start.token == token), None)


def _wait(attached: Member, wake_reader: int) -> None:
    """Wait until the process ends, or until a signal arrives, which makes `wake_reader` readable."""
    import select

    poll = select.poll()
    poll.register(wake_reader, select.POLLIN)
    descriptor = None
    if hasattr(os, "pidfd_open"):
        descriptor = attached.process.open()
        if descriptor is None:
            return
        poll.register(descriptor, select.POLLIN)
    if any(ready == wake_reader for ready, _ in poll.poll(_LOOK if descriptor is None else None)):
        os.read(wake_reader, 4096)
    if descriptor is not None:
        os.close(descriptor)


def _run(script: str, environ: Mapping[str, str], log: str) -> None:
    from esker.activate import hook
    from esker.declare import project_directory

    try:
        directory, name = os.path.split(log)
        os.makedirs(os.path.dirname(directory), mode=0o700, exist_ok=True)
        with project_directory.opened(*os.path.split(directory)) as opened:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            output = os.open(name, flags, 0o600, dir_fd=opened)
    except OSError:
        output = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    hook.run_end(environ, script, output)
    os.close(output)
