"""The limit on the size of one wheel: no package takes the whole disk, neither as it is nor when it is unpacked.

The lock says how large most files are, which is checked before anything is fetched. How large a wheel is unpacked
stands only in its archive, which uv fetches and unpacks in one go. So we watch uv, which unpacks each wheel into a
directory `.tmp…` of its cache. Once it has written more than the limit, the directories that it has open are measured,
and uv is ended if one is too large. That takes a moment, in which uv writes a little more than the limit.

Watching needs /proc, so only Linux has this second check. A wheel that uv's cache had unpacked before is not measured.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from esker.errors import EskerError, RealisationFailed
from esker.host import process_table, trees

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.realise.artifacts import Artifact

    Artifacts = Sequence[Artifact]

__all__ = ["limited"]

_INTERVAL = 0.05
"""Seconds between two looks at how much uv has written."""
_TEMPORARY = ".tmp"
"""How the names of uv's temporary directories begin."""
_MARK = "CACHEDIR.TAG"
"""The file by which caches are known."""


@contextmanager
def limited(artifacts: Artifacts, limit: int | None) -> Iterator[None]:
    """Watch the programs `uv` of this process during the block; no artifact may have more than `limit` bytes.

    Raises RealisationFailed before the block if the lock gives a size that is too large, and after it if uv was ended
    because a wheel became too large when it was unpacked. What was unpacked of it is removed.
    """
    if limit is None:
        yield
        return
    for name, version, file in artifacts:
        if file.size is not None and file.size > limit:
            raise _too_large(f"`{name}` {version} has {_shown(file.size)}", limit)
    watch = _Watch(limit)
    watcher = Thread(target=watch.run, daemon=True)
    watcher.start()
    try:
        try:
            yield
        finally:
            watch.over.set()
            watcher.join()  # it says what was too large only after it has ended uv
    except EskerError:
        if watch.large is None:
            raise
        name = _name(watch.large, artifacts)
        raise _too_large(f"{name} has more than {_shown(limit)} when it is unpacked", limit) from None


def _too_large(what: str, limit: int) -> RealisationFailed:
    return RealisationFailed(
        f"the package {what}; the limit for one package is {_shown(limit)}",
        hint="it may be an attack; if you expect that size, raise the limit: ESKER_LARGEST_WHEEL=50GB, for example",
    )


class _Watch:
    """Looks after the programs `uv` that this process runs."""

    def __init__(self, limit: int) -> None:
        self.over = Event()
        self.large: frozenset[str] | None = None
        """The names at the top of the directory that has become too large; None if there is none."""
        self._limit = limit

    def run(self) -> None:
        """Watch until `over` is set."""
        while not self.over.wait(_INTERVAL):
            for pid, entry in process_table.family(os.getpid()).items():
                if entry.program == "uv" and _written(pid) > self._limit:
                    self._look_at(pid)

    def _look_at(self, pid: int) -> None:
        """End uv if a directory that it unpacks into is too large, or if one was before."""
        large = next((path for path in _unpacked_into(pid) if _size(path) > self._limit), None)
        if large is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(OSError):
            self.large = frozenset(os.listdir(large))
        self.large = self.large or frozenset()
        with suppress(OSError):
            trees.remove_tree(large)


def _written(pid: int) -> int:
    """Return how many bytes a process has written so far."""
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            fields = dict(line.split(b":") for line in file)
    except OSError:  # it has ended
        return 0
    return int(fields[b"wchar"])


def _unpacked_into(pid: int) -> set[str]:
    """Return the temporary directories, or files, of uv's cache in which a process has files open."""
    paths = set()
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                path = _temporary(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
                if path is not None:
                    paths.add(path)
    return paths


def _temporary(path: str) -> str | None:
    """Return the temporary directory of uv's cache that a file lies in, or None if it lies elsewhere.

    uv marks its cache with a file. Without a look at that, any directory of such a name would count: one that the cache
    lies in, the one that a store path is built in, or one that a wheel brings to hide what is beside it.
    """
    parts = path.split("/")
    for at, part in enumerate(parts):
        if part.startswith(_TEMPORARY):
            above = ["/".join(parts[:at]), "/".join(parts[: at - 1])]
            if any(os.path.exists(f"{directory}/{_MARK}") for directory in above):
                return "/".join(parts[: at + 1])
    return None


def _size(path: str) -> int:
    """Return the bytes of all files below a directory, or of a file; files that disappear meanwhile do not count."""
    size = 0
    with suppress(OSError):
        if not os.path.isdir(path):
            return os.lstat(path).st_size
    for directory, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                size += os.lstat(f"{directory}/{name}").st_size
    return size


def _name(top: frozenset[str], artifacts: Artifacts) -> str:
    """Return how to name the artifact that has these names at the top of its archive."""
    of_package = {canonicalize_name(name.partition("-")[0]): name for name in top}
    chosen = [(name, version) for name, version, _ in artifacts if name in of_package or len(artifacts) == 1]
    if len(chosen) == 1:
        return "`{}` {}".format(*chosen[0])
    return "one of " + ", ".join(f"`{name}`" for name, _, _ in artifacts)


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.1f} MB"
