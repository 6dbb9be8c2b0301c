"""The list of items as Valkey keeps it, never older than the last write.

Every copy is stored under a generation number, and a write moves on to the next generation. A reader that began before
the write stores its copy under the old number, where nobody looks any more; deleting one shared key could not promise
that. Old copies expire by themselves.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from items.item import Item

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Cache"]

LIFETIME = 60  # seconds; also the longest that a write made while the cache was away can stay unseen
TIMEOUT = 1.0  # seconds to wait for an answer

log = logging.getLogger(__name__)


class Cache:
    """A cache that may be away: reads then go to the database, and `reachable` says so."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._valkey = Valkey.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._prefix = prefix

    async def items(self, load: Callable[[], Awaitable[list[Item]]]) -> list[Item]:
        """Return the list from the cache, or `load` it and keep it."""
        try:
            generation = int(await self._valkey.get(f"{self._prefix}generation") or 0)
            key = f"{self._prefix}list:{generation}"
            if (kept := await self._valkey.get(key)) is not None:
                return [Item(**fields) for fields in json.loads(kept)]
        except ValkeyError as error:
            log.warning("reading past the cache: %s", error)
            return await load()
        items = await load()
        try:
            await self._valkey.set(key, json.dumps([item.as_json() for item in items]), ex=LIFETIME)
        except ValkeyError as error:
            log.warning("not kept in the cache: %s", error)
        return items

    async def invalidate(self) -> None:
        """Make every copy kept so far unseen; call it after the write is committed."""
        try:
            await self._valkey.incr(f"{self._prefix}generation")
        except ValkeyError as error:
            log.warning("the cache may be stale for %d s: %s", LIFETIME, error)

    async def reachable(self) -> bool:
        """Return whether the server answers."""
        try:
            return bool(await self._valkey.ping())
        except ValkeyError:
            return False

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._valkey.aclose()
