"""The reasons for services to run: a process uses them, they are marked as kept, or a start is under way.

A process, known by pid and start time, has a lease. The lease ends with the process, however the process ends. A start
holds its services until it is over.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.errors import ServiceError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from esker.services.supervised.protocol import Lease

__all__ = ["Holds"]


class Holds:
    """All reasons for services to run; calls `lapsed` when a lease has ended with its process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lapsed: Callable[[], object]) -> None:
        self.kept: set[str] = set()
        self._loop = loop
        self._lapsed = lapsed
        self._calls: dict[object, set[str]] = {}
        self._leases: dict[Lease, set[str]] = {}
        self._descriptors: dict[Lease, int] = {}
        self._attending: set[Lease] = set()

    def held(self) -> set[str]:
        """Return the services that have any reason to run."""
        return self.kept.union(*self._calls.values(), *self._leases.values())

    @property
    def attended(self) -> bool:
        """Whether a process lives that attends: the supervisor remembers services for it that have stopped."""
        return bool(self._attending)

    def users(self, service: str) -> list[int]:
        """Return the pids of the processes that use `service`."""
        return sorted({lease.process.pid for lease, names in self._leases.items() if service in names})

    def begin(self, call: object, services: Iterable[str]) -> None:
        """Hold `services` for a start, which `call` identifies."""
        self._calls[call] = set(services)

    def end(self, call: object) -> None:
        """Release the services of a start that is over."""
        self._calls.pop(call, None)

    def take(self, lease: Lease, services: Iterable[str], *, attends: bool = False) -> None:
        """Hold `services` for a process until it ends; raise ServiceError if it has ended already.

        A process that `attends` still does so after all its services were stopped by `services stop`.
        """
        if lease not in self._leases:
            descriptor = lease.process.open()
            if descriptor is None:
                raise ServiceError(f"process {lease.process.pid} has ended, so no services are started for it")
            self._descriptors[lease] = descriptor
            self._loop.add_reader(descriptor, self._lapse, lease)
        self._leases.setdefault(lease, set()).update(services)
        if attends:
            self._attending.add(lease)

    def release(self, lease: Lease) -> bool:
        """End a lease, and return whether it existed."""
        if lease not in self._leases:
            return False
        del self._leases[lease]
        self._attending.discard(lease)
        descriptor = self._descriptors.pop(lease)
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        return True

    def _lapse(self, lease: Lease) -> None:
        self.release(lease)
        self._lapsed()

    def forget(self, services: Iterable[str]) -> None:
        """Remove every reason for `services` to run."""
        for names in (self.kept, *self._calls.values(), *self._leases.values()):
            names.difference_update(services)

    def close(self) -> None:
        """End all leases and remove every other reason."""
        for lease in list(self._leases):
            self.release(lease)
        self.kept.clear()
        self._calls.clear()
