"""The watcher: waits until the last process of a start has left, runs `hook.on-deactivate`, and removes the start.

A command that has taken Esker's place ends without telling anybody, and so does a shell: this process notices. It
waits for one of the attached processes at a time, and looks at the registry when that has ended or when it is told to.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.activate.starts import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["watch"]

_OUTLIVED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Who ends everything also ends the processes that are waited for, and only after them is there nothing to do."""
_LOOK = 500
"""Milliseconds after which to look again where the end of a process cannot be waited for."""


def watch(path: str, token: str, script: str | None, environ: Mapping[str, str], log: str) -> None:
    """Stay until nobody uses the start `token` of the registry at `path`; then run `script` in `environ`, if any."""
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("esker-watcher")
    told, telling = os.pipe()
    os.set_blocking(telling, False)
    signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    for number in (registry.WAKE, *_OUTLIVED):
        signal.signal(number, lambda *_: None)  # not ignored: what runs at the end would inherit that
    while (start := _start(path, token)) is not None and start.members:
        _wait(start.members[0], told)
    if start is not None and script is not None:
        _run(script, environ, log)
        registry.abandon(path, start)
    with suppress(FileNotFoundError):  # it is there when somebody else has removed the registry
        os.unlink(f"{path}.{token}")


def _start(path: str, token: str) -> registry.Start | None:
    """Return the start as it is now, if there is anything left of it; the registry forgets who has ended."""
    with registry.changing(path) as starts:
        return next((start for start in starts if start.token == token), None)


def _wait(attached: registry.Member, told: int) -> None:
    poll = select.poll()
    poll.register(told, select.POLLIN)
    descriptor = None
    if hasattr(os, "pidfd_open"):
        from esker.host import pidfd

        descriptor = pidfd.open_process(attached.pid, attached.start_time)
        if descriptor is None:
            return
        poll.register(descriptor, select.POLLIN)
    if any(ready == told for ready, _ in poll.poll(_LOOK if descriptor is None else None)):
        os.read(told, 4096)
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
