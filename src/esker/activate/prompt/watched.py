"""Which files the prompt watches, and how a shell sees without any process that none of them has changed.

This is the one place that knows the files. For each there is a stamp: an empty file in the user's runtime directory
with the same modification time, and the time for its name. Shells can compare the times of two files (`-nt`, `-ot`).
A stamp never changes, so all shells share it. A file that is restored has an older time, and one that is missing has
none: a shell asks for both.

Some shells see whole seconds alone, and a file can be written twice between two ticks of the kernel's clock. So a file
that was written less than two seconds ago counts as changed.
"""

from __future__ import annotations

import os

from esker.activate import plan as plans
from esker.declare import consent
from esker.errors import HostError
from esker.host import runtime_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import suppress
    from typing import NamedTuple

    from esker.activate.plan import Plan
    from esker.settings import Settings
else:
    from esker.host.context import suppress
    from esker.host.named_tuple import NamedTuple

__all__ = ["Present", "Watch", "directories", "files_of", "watch"]

_YOUNG = 2.0
"""Seconds."""
_FIXED = ("env.json", "env/manifest.toml", "env/manifest.lock", "conda.lock", "pylock.toml", "run")
"""Below `.flox`. The links in `run` lead into the store, where all times are the same; the directory has its own."""
_MOST_STAMPS = 1000
_DAY = 86400


class Present(NamedTuple):
    """A watched file that is there."""

    path: str
    stamp: str
    """The path of a file with the same time."""
    seconds: int
    """The time in whole seconds, for shells that cannot compare two files."""


class Watch(NamedTuple):
    """What has to be as it is, for a shell to start no process at its prompt."""

    directory: str
    """The shell's own name of its directory."""
    present: tuple[Present, ...]
    absent: tuple[str, ...]
    settled: bool
    """Whether the shell may rely on the times."""


def directories(directory: str) -> list[str]:
    """Return a directory (absolute, links resolved) and all above it, the outermost first."""
    found = [directory]
    while (above := os.path.dirname(found[-1])) != found[-1]:
        found.append(above)
    return found[::-1]


def files_of(project: str, settings: Settings, covered: Iterable[str], plan: Plan | None) -> list[str]:
    """Return the files that decide whether, and how, the prompt activates a project.

    `covered` are those that consent covers, below the project. Without a plan, one is awaited.
    """
    made = [plans.plan_path(project, plan.mode)] if plan else [plans.plan_path(project, mode) for mode in plans.MODES]
    stats = [path for path, *_ in plan.stats] if plan else []
    fixed = [f"{project}/.flox/{name}" for name in _FIXED]
    beside = [f"{project}/{name}" for name in covered]
    return [*fixed, consent.record_path(project, settings), *made, *stats, *beside]


def watch(directory: str, paths: Iterable[str], settings: Settings, now: float) -> Watch:
    """Return what a shell in `directory` watches; `now` is the time of day in seconds."""
    present, absent, settled = [], [], True
    stamps = _stamp_directory(settings)
    for path in dict.fromkeys(paths):
        try:
            time = os.stat(path).st_mtime_ns
        except (OSError, ValueError):
            absent.append(path)
            continue
        settled &= abs(now - time / 1e9) >= _YOUNG
        try:
            stamp = _stamp(time, stamps)
        except OSError:
            stamp, settled = path, False  # then the command is asked at each prompt
        present.append(Present(path, stamp, time // 10**9))
    return Watch(directory, tuple(present), tuple(absent), settled)


def _stamp_directory(settings: Settings) -> str:
    user = runtime_directory.user_directory(settings.xdg_runtime_dir)
    with suppress(HostError, OSError):  # what is wrong there is told when an environment is entered
        runtime_directory.make_user(user)
        with suppress(FileExistsError):
            os.mkdir(f"{user}/stamps", 0o700)
        return f"{user}/stamps"
    return os.devnull


def _stamp(time: int, directory: str) -> str:
    """Return the path of the stamp with this time in nanoseconds, which is made if it is missing."""
    path = f"{directory}/{time}"
    with suppress(FileNotFoundError):
        if os.lstat(path).st_mtime_ns == time:
            return path
    _sweep(directory)
    temporary = f"{directory}/.{os.getpid()}"
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    os.utime(temporary, ns=(time, time))
    os.rename(temporary, path)
    if os.lstat(path).st_mtime_ns != time:
        raise OSError("this file system keeps no such times")
    return path


def _sweep(directory: str) -> None:
    """Remove old stamps if there are many; a shell that still needs one asks the command, which makes it again."""
    import time

    with os.scandir(directory) as found:
        entries = list(found)
    if len(entries) > _MOST_STAMPS:
        for entry in entries:
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_ctime < time.time() - _DAY:
                    os.unlink(entry.path)
