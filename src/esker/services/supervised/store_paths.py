"""The store paths that a supervisor protects from garbage collection, by a temporary root in each store."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from esker.errors import ServiceError
from esker.store import temporary_roots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from esker.services.supervised.supervisor_record import SupervisorRecord

__all__ = ["StorePaths"]

_RETRY = 0.02
"""Seconds between checks whether a garbage collection is over."""


class StorePaths:
    """The store paths that the services of one supervisor need, until the supervisor ends."""

    def __init__(self, record: SupervisorRecord) -> None:
        self._record = record
        self._by_store: dict[str, set[str]] = {}

    @property
    def stores(self) -> list[str]:
        """The root directories of the stores that have a temporary root of this supervisor, or are about to get one."""
        return sorted(self._by_store)

    async def keep(self, store: str, paths: Collection[str], seconds: float, recorded: Callable[[], None]) -> None:
        """Protect `paths` of `store`; return once no garbage collection can delete them.

        `recorded` is called when `stores` is complete but before a temporary root is written, so that a process that
        cleans up after a kill can find the root. Raises StoreError. Raises ServiceError if a collection holds the
        store for `seconds`, or has deleted one of the paths.
        """
        protected = self._by_store.get(store, set())
        if protected.issuperset(paths):
            return
        protected = self._by_store.setdefault(store, protected)
        recorded()
        try:
            async with asyncio.timeout(seconds):
                while not self._write(store, protected.union(paths)):  # noqa: ASYNC110  (another process's lock)
                    await asyncio.sleep(_RETRY)
        except TimeoutError:
            raise ServiceError(
                f"a garbage collection has held the store `{store}` for {seconds:g} s",
                hint="start the services again when `esker store gc` is done",
            ) from None
        _require(paths)
        protected.update(paths)

    def _write(self, store: str, paths: Collection[str]) -> bool:
        processes = (self._record.guardian, self._record.supervisor)
        return temporary_roots.write(store, self._record.token, paths, processes)

    def give_back(self) -> None:
        """Stop protecting the paths, because everything has stopped."""
        for store in self._by_store:
            temporary_roots.remove(store, self._record.token)


def _require(paths: Collection[str]) -> None:
    for path in paths:
        if not os.path.exists(path):  # a collection deleted it while the request was on its way
            raise ServiceError(f"`{path}` is not in the store any more", hint="activate the environment again")
