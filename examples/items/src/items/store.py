"""Items in PostgreSQL, and the cache in front of them."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from items.cache import Cache
from items.item import Item, NewItem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from items.settings import Settings

__all__ = ["Store", "open_store"]

TIMEOUT = 1.0  # seconds to wait for a connection

COLUMNS = (
    """id, name, description, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at"""
)


class Store:
    """Every query of the API."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Item]], cache: Cache) -> None:
        self._pool = pool
        self._cache = cache

    async def items(self) -> list[Item]:
        """Return all items, oldest first."""
        return await self._cache.items(self._load)

    async def add(self, new: NewItem) -> Item:
        """Insert an item and return it; every later read sees it."""
        query = f"INSERT INTO items (name, description) VALUES (%s, %s) RETURNING {COLUMNS}"
        async with self._pool.connection() as connection:
            item = await (await connection.execute(query, [new.name, new.description])).fetchone()
        assert item is not None
        await self._cache.invalidate()
        return item

    async def add_if_missing(self, new: NewItem) -> bool:
        """Insert an item unless there is one with the same name; return whether it was inserted."""
        query = """
            INSERT INTO items (name, description) SELECT %(name)s, %(description)s
            WHERE NOT EXISTS (SELECT FROM items WHERE name = %(name)s)
        """
        async with self._pool.connection() as connection:
            await connection.execute("LOCK TABLE items IN SHARE ROW EXCLUSIVE MODE")  # readers continue, writers wait
            cursor = await connection.execute(query, asdict(new))
        if cursor.rowcount == 0:
            return False
        await self._cache.invalidate()
        return True

    async def health(self) -> dict[str, bool]:
        """Return whether the database and the cache answer."""
        return {"database": await self._database_answers(), "cache": await self._cache.reachable()}

    async def _load(self) -> list[Item]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(f"SELECT {COLUMNS} FROM items ORDER BY id")).fetchall()

    async def _database_answers(self) -> bool:
        try:
            async with self._pool.connection():  # the pool asks the server before it hands a connection out
                return True
        except OperationalError:
            return False


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Yield the store; the servers need not be reachable yet, and may become unreachable for a while."""
    cache = Cache(settings.cache, prefix=settings.cache_prefix)
    pool = AsyncConnectionPool(
        settings.database,
        connection_class=AsyncConnection[Item],
        kwargs={"row_factory": class_row(Item)},
        min_size=1,
        timeout=TIMEOUT,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )
    async with aclosing(cache), pool:
        yield Store(pool, cache)
