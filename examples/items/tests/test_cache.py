"""Promises of the cache that the API alone cannot show."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from items.cache import Cache
from items.item import Item

if TYPE_CHECKING:
    from items.settings import Settings

OLD = [Item(1, "old", "", "2026-01-01T00:00:00Z")]
NEW = [*OLD, Item(2, "new", "", "2026-01-02T00:00:00Z")]


def test_write_during_a_read(settings: Settings) -> None:
    """A list that was loaded before a write, but cached after it, is never served."""

    async def scenario() -> None:
        async with aclosing(Cache(settings.cache, prefix=settings.cache_prefix)) as cache:

            async def load_while_another_writes() -> list[Item]:
                await cache.invalidate()
                return OLD

            async def load() -> list[Item]:
                return NEW

            assert await cache.items(load_while_another_writes) == OLD
            assert await cache.items(load) == NEW

    asyncio.run(scenario())
