"""The cached list of items in Valkey, which is never older than the last write.

The cache stores every copy of the list under a generation number, and each write increases that number. A reader that
began before a write stores its copy under the old number, which nobody reads any more. Deleting one shared key after a
write would not be enough: such a reader could store its old copy under that key afterwards. Old copies expire by
themselves.
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

LIFETIME = 60  # seconds; a write that is made while the cache is unreachable may stay unseen for as long
TIMEOUT = 1.0  # seconds to wait for an answer

log = logging.getLogger(__name__)


class Cache:
    """A cache of the list of items; while its server is unreachable, reads go to the database."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._valkey = Valkey.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._prefix = prefix

    async def items(self, load: Callable[[], Awaitable[list[Item]]]) -> list[Item]:
        """Return the list from the cache; if it is not there, call `load` and keep the result."""
        try:
            generation = int(await self._valkey.get(f"{self._prefix}generation") or 0)
            key = f"{self._prefix}list:{generation}"
            if (cached := await self._valkey.get(key)) is not None:
                return [Item(**fields) for fields in json.loads(cached)]
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
        """Make readers ignore every copy that is cached so far; call this after a write is committed."""
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
        """Close the connections to the server."""
        await self._valkey.aclose()
