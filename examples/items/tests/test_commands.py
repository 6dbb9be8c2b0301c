"""The commands, as a person or a service runs them."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.request import urlopen

import psycopg
import pytest
from items.migrate import migrate
from items.seed import seed
from items.store import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from items.settings import Settings
    from servers import Servers
    from starlette.testclient import TestClient

ALL = ["0001_create_items.sql", "0002_index_items_by_name.sql"]


def test_migrate_twice(empty_database: str) -> None:
    """The migrations are applied in order, and only once."""
    assert migrate(empty_database) == ALL
    assert migrate(empty_database) == []


def test_migrate_at_once(empty_database: str) -> None:
    """If several callers migrate at the same time, only one applies the migrations."""
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: migrate(empty_database), range(8)))
    assert sorted(results) == [[]] * 7 + [ALL]


def test_failing_migration(empty_database: str, tmp_path: Path) -> None:
    """A migration that fails leaves the database as it was."""
    (tmp_path / "1.sql").write_text("CREATE TABLE first ();")
    (tmp_path / "2.sql").write_text("CREATE TABLE second (); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database, tmp_path)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT relname FROM pg_stat_user_tables").fetchall() == []


def test_commands(servers: Servers, new_name: str) -> None:
    """The commands create, fill and serve a database, may be repeated, and use the same variables as psql."""
    variables = {**os.environ, **servers.variables, "PGDATABASE": new_name}
    assert run(variables, "items.migrate", "--create") == ["created the database", *(f"applied {name}" for name in ALL)]
    assert run(variables, "items.migrate", "--create") == []
    assert run(variables, "items.seed") == ["added Example Item", "added Second Item"]
    assert run(variables, "items.seed") == []
    query = ["psql", "-XAtc", "SELECT count(*) FROM items"]
    assert subprocess.run(query, env=variables, capture_output=True, text=True, check=True).stdout == "2\n"
    assert served(variables, "/health") == b'{"status":"ok","database":"connected","cache":"connected"}'


def test_seed_is_seen(client: TestClient, settings: Settings) -> None:
    """Clients that had read the empty list see the seeded items, and two seeds at the same time add nothing twice."""
    assert client.get("/items").json() == []

    async def seed_twice_at_once() -> list[str]:
        async with open_store(settings) as store:
            first, second = await asyncio.gather(seed(store), seed(store))
            return [*first, *second]

    assert sorted(asyncio.run(seed_twice_at_once())) == ["Example Item", "Second Item"]
    assert [item["name"] for item in client.get("/items").json()] == ["Example Item", "Second Item"]


def run(variables: Mapping[str, str], module: str, *arguments: str) -> list[str]:
    """Run one of the project's modules and return the lines it prints."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def served(variables: Mapping[str, str], path: str) -> bytes:
    """Serve the API on a free port, and return its answer to a GET of `path`."""
    command = [sys.executable, "-m", "items"]
    with subprocess.Popen(command, env={**variables, "API_PORT": "0"}, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "running on" in line)
            match = re.search(r"http://[0-9.:]+", line)
            assert match is not None
            with urlopen(f"{match[0]}{path}", timeout=10) as answer:
                body: bytes = answer.read()
                return body
        finally:
            process.terminate()
