"""Fetching conda packages: many at a time, each unpacked as it comes, and hashed before anything of it is used."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from esker.errors import EskerError, HostError, RealisationFailed
from esker.formats.urls import redact
from esker.host.rattler import settled_at_exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rattler import Client

    from esker.formats.conda.locked_package import LockedCondaPackage
    from esker.progress import Progress

__all__ = ["fetch"]

_TOGETHER = 16
"""How many packages are fetched at a time."""
_INTERVAL = 0.25
"""Seconds between two looks at how much has been unpacked."""
_PAUSE = 0.01
"""Seconds between two looks at what is still being unpacked after a failure."""
_QUIET = 5
"""How many looks in a row have to see nothing."""
_PATIENCE = 50
"""How many looks are taken at most."""
_STATUS = re.compile(r"HTTP status \w+ error \((?P<code>\d{3})")
_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")


def fetch(
    packages: Mapping[str, LockedCondaPackage], client: Client, progress: Progress, *, largest: int | None = None
) -> None:
    """Fetch each package, and unpack it into the directory that it has in `packages`.

    Nothing that rattler unpacks lies outside of that directory. No package may have more than `largest` bytes. Raises
    HostError, RealisationFailed and, for a full disk, OSError.
    """
    for package in packages.values():
        if largest is not None and package.size is not None and package.size > largest:
            raise _too_large(package, largest)
    fetching = _Fetching(packages, client, progress, largest)
    # In a thread of its own, because the caller's may run a loop already.
    thread = Thread(target=fetching.run, name="esker-conda", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        fetching.abandon()
        thread.join()
        _settle(packages)
        raise
    finally:
        settled_at_exit()
    if fetching.failure is not None:
        _settle(packages)
        raise fetching.failure


def _settle(directories: Iterable[str]) -> None:
    """Wait a moment until rattler's threads write no more: what it has begun to unpack, it goes on with for a while.

    What they write later, because the package is large, lies in a directory that the next build or collection removes.
    """
    pause = Event()
    quiet = 0
    for _ in range(_PATIENCE):
        quiet = 0 if any(map(_is_open_below, directories)) else quiet + 1
        if quiet == _QUIET:
            break
        pause.wait(_PAUSE)


def _is_open_below(directory: str) -> bool:
    """Return whether this process has a file below the directory open, where that can be told."""
    with suppress(OSError):
        for descriptor in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{descriptor}").startswith(f"{directory}/"):
                    return True
    return False


class _Fetching:
    def __init__(
        self,
        packages: Mapping[str, LockedCondaPackage],
        client: Client,
        progress: Progress,
        largest: int | None,
    ) -> None:
        self.failure: BaseException | None = None
        self._packages = packages
        self._client = client
        self._progress = progress
        self._largest = largest
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Fetch all packages, and keep what went wrong."""
        try:
            self._task = self._loop.create_task(self._all())
            self._loop.run_until_complete(self._task)
        except BaseException as error:  # noqa: BLE001  # the thread that waits raises it
            self.failure = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def abandon(self) -> None:
        """Have `run` end soon; for another thread."""
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    async def _all(self) -> None:
        places = asyncio.Semaphore(_TOGETHER)
        tasks = [asyncio.create_task(self._one(places, *item)) for item in self._packages.items()]
        try:
            for task in asyncio.as_completed(tasks):
                await task
                self._progress.advance()
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, places: asyncio.Semaphore, directory: str, package: LockedCondaPackage) -> None:
        from pathlib import Path

        from rattler.package_streaming import download_and_extract

        async with places:
            try:
                expected = bytes.fromhex(package.sha256)
                work = asyncio.ensure_future(download_and_extract(self._client, package.url, Path(directory), expected))
                digest, _ = await self._watched(work, directory, package)
            except EskerError:
                raise
            except Exception as error:  # rattler has many classes of them
                raise _explained(package, error) from error
        # rattler 0.28 unpacks a file of another hash all the same.
        if digest != expected:
            raise RealisationFailed(
                f"`{redact(package.url)}` is not the file that is locked: "
                f"its sha256 is {digest.hex()}, not {package.sha256}",
                hint="do not use that file; if it was republished on purpose: esker lock --upgrade",
            )

    async def _watched(
        self, work: asyncio.Future[tuple[bytes, bytes]], directory: str, package: LockedCondaPackage
    ) -> tuple[bytes, bytes]:
        """Wait for the work, and end it if the directory becomes too large."""
        before = _written()
        try:
            while not (await asyncio.wait({work}, timeout=None if self._largest is None else _INTERVAL))[0]:
                self._check_size(directory, package, before)
        finally:
            work.cancel()
        self._check_size(directory, package, before)
        return work.result()

    def _check_size(self, directory: str, package: LockedCondaPackage, before: int | None) -> None:
        written = _written()
        may_be_large = before is None or written is None or written - before > (self._largest or 0)
        if self._largest is not None and may_be_large and _size(directory) > self._largest:
            raise _too_large(package, self._largest)


def _explained(package: LockedCondaPackage, error: Exception) -> Exception:
    """Return the error that tells a person why a package could not be fetched."""
    cause = redact(str(error))
    if any(word in cause for word in _FULL):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    what = f"the conda package `{package.title}` could not be fetched from `{redact(package.url)}`"
    status = _STATUS.search(cause)
    if status is not None and status["code"] in {"404", "410"}:
        return RealisationFailed(
            f"{what}: it is not there",
            hint="lock anew: esker lock --upgrade; or set another mirror in rattler's config",
        )
    if status is not None and status["code"] in {"401", "403", "407"}:
        return HostError(
            f"{what}: the server refuses this account", hint="log in to it: pixi auth login, or its mirror"
        )
    if "error sending request" in cause:
        return HostError(f"{what}: no answer", hint="check the network and the proxy (HTTPS_PROXY)")
    return HostError(f"{what}: {cause}", hint="try again; if it persists, the channel may be damaged")


def _too_large(package: LockedCondaPackage, limit: int) -> RealisationFailed:
    return RealisationFailed(
        f"the conda package `{package.title}` has more than {limit / 1e6:.0f} MB, the limit for one package",
        hint="it may be an attack; if you expect that size, raise the limit: ESKER_LARGEST_WHEEL=50GB, for example",
    )


def _written() -> int | None:
    """Return how many bytes this process has written so far, or None where that cannot be told."""
    try:
        with open("/proc/self/io", "rb") as file:
            return int(dict(line.split(b":") for line in file)[b"wchar"])
    except (OSError, KeyError, ValueError):
        return None


def _size(directory: str) -> int:
    size = 0
    for above, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                size += os.lstat(f"{above}/{name}").st_size
    return size
