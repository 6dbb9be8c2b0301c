"""The store paths that a supervisor keeps from being collected, by a temporary root in each store they lie in."""

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
"""Seconds between looks whether a collection is over."""


class StorePaths:
    """The store paths that the services of one supervisor need, until the supervisor ends."""

    def __init__(self, record: SupervisorRecord) -> None:
        self._record = record
        self._by_store: dict[str, set[str]] = {}

    @property
    def stores(self) -> list[str]:
        """The root directories of the stores that have a temporary root of this supervisor, or will have one now."""
        return sorted(self._by_store)

    async def keep(self, store: str, paths: Collection[str], seconds: float, recorded: Callable[[], None]) -> None:
        """Keep `paths` of `store`; return when no collection can take them any more.

        `recorded` is called once `stores` is complete and before a temporary root is written, so that whoever puts
        things in order after a kill can find it. Raises StoreError, and ServiceError when a collection holds the store
        for `seconds`, or has taken one of the paths.
        """
        kept = self._by_store.get(store, set())
        if kept.issuperset(paths):
            return
        kept = self._by_store.setdefault(store, kept)
        recorded()
        try:
            async with asyncio.timeout(seconds):
                while not self._write(store, kept.union(paths)):  # noqa: ASYNC110  (another process's lock)
                    await asyncio.sleep(_RETRY)
        except TimeoutError:
            raise ServiceError(
                f"a collection has held the store `{store}` for {seconds:g} s",
                hint="start the services again when `esker store gc` is done",
            ) from None
        _require(paths)
        kept.update(paths)

    def _write(self, store: str, paths: Collection[str]) -> bool:
        processes = (self._record.guardian, self._record.supervisor)
        return temporary_roots.write(store, self._record.token, paths, processes)

    def give_back(self) -> None:
        """Let all paths be collected, because everything has stopped."""
        for store in self._by_store:
            temporary_roots.remove(store, self._record.token)


def _require(paths: Collection[str]) -> None:
    for path in paths:
        if not os.path.exists(path):  # collected while the request was on its way
            raise ServiceError(f"`{path}` is not in the store any more", hint="activate the environment again")
