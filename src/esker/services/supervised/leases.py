"""Why services run: because somebody uses them, or because they are marked kept.

A lease is held by a process, known by pid and start time; it ends when that process does, however it ends. A start
that is under way holds what it starts until it has come to its end.
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
    """All reasons for services to run; `lapsed` is called when a lease has ended with its process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lapsed: Callable[[], object]) -> None:
        self.kept: set[str] = set()
        self._loop = loop
        self._lapsed = lapsed
        self._calls: dict[object, set[str]] = {}
        self._leases: dict[Lease, set[str]] = {}
        self._descriptors: dict[Lease, int] = {}

    def held(self) -> set[str]:
        """Return the services that somebody uses or that are kept."""
        return self.kept.union(*self._calls.values(), *self._leases.values())

    def users(self, service: str) -> list[int]:
        """Return the pids that use `service`."""
        return sorted({lease.process.pid for lease, names in self._leases.items() if service in names})

    def begin(self, call: object, services: Iterable[str]) -> None:
        """Hold `services` for a start that is under way."""
        self._calls[call] = set(services)

    def end(self, call: object) -> None:
        """The start is over."""
        self._calls.pop(call, None)

    def take(self, lease: Lease, services: Iterable[str]) -> None:
        """Hold `services` for a process until it ends; raises ServiceError when it has."""
        if lease not in self._leases:
            descriptor = lease.process.open()
            if descriptor is None:
                raise ServiceError(f"the process {lease.process.pid}, for which services were to run, has ended")
            self._descriptors[lease] = descriptor
            self._loop.add_reader(descriptor, self._lapse, lease)
        self._leases.setdefault(lease, set()).update(services)

    def release(self, lease: Lease) -> bool:
        """Give a lease back, and return whether there was one."""
        if lease not in self._leases:
            return False
        del self._leases[lease]
        descriptor = self._descriptors.pop(lease)
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        return True

    def _lapse(self, lease: Lease) -> None:
        self.release(lease)
        self._lapsed()

    def forget(self, services: Iterable[str]) -> None:
        """Hold `services` no longer, for nobody."""
        for names in (self.kept, *self._calls.values(), *self._leases.values()):
            names.difference_update(services)

    def close(self) -> None:
        """Give everything back."""
        for lease in list(self._leases):
            self.release(lease)
        self.kept.clear()
        self._calls.clear()
