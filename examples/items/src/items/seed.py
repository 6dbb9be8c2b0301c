"""Add some example items to the database: `python -m items.seed`. A second run changes nothing."""

from __future__ import annotations

import asyncio
import os

from items.item import NewItem
from items.settings import Settings
from items.store import Store, open_store

__all__ = ["seed"]

ITEMS = [
    NewItem("Example Item", "Created by items.seed"),
    NewItem("Second Item", "There is always one more"),
]


async def seed(store: Store) -> list[str]:
    """Add the example items whose names are not in the database yet, and return those names."""
    return [item.name for item in ITEMS if await store.add_if_missing(item)]


async def run() -> None:
    """Add the example items, and print which were added."""
    async with open_store(Settings.from_environment(os.environ)) as store:
        for name in await seed(store):
            print(f"added {name}")


if __name__ == "__main__":
    asyncio.run(run())
