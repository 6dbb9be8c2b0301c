"""Fixtures that give the tests a database and a cache of their own, whoever runs the servers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from items.api import api
from items.migrate import create_database, migrate
from items.settings import Settings
from servers import Servers, running, started
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """PostgreSQL and Valkey: the project's services if they run or Esker's plugin is loaded, and otherwise our own."""
    if request.config.pluginmanager.hasplugin("esker.testing"):
        request.getfixturevalue("esker_environment").start("postgres", "cache")
    if servers := running(os.environ):
        yield servers
    else:
        with started() as own:
            yield own


@pytest.fixture
def new_name(servers: Servers) -> Iterator[str]:
    """The name of a database that nobody else uses; the database is removed after the test."""
    yield from scratch_name(servers)


@pytest.fixture
def empty_database(servers: Servers, new_name: str) -> str:
    """A connection string to a new database without a schema."""
    create_database(servers.postgres, new_name)
    return f"{servers.postgres} dbname={new_name}"


@pytest.fixture(scope="session")
def settings(servers: Servers) -> Iterator[Settings]:
    """Settings of a migrated database that nobody else uses."""
    for name in scratch_name(servers):
        create_database(servers.postgres, name)
        database = f"{servers.postgres} dbname={name}"
        migrate(database)
        yield Settings(database=database, cache=servers.cache, cache_prefix=f"items:{name}:")


@pytest.fixture(autouse=True)
def _no_items(request: pytest.FixtureRequest) -> None:
    """Remove all items before each test that uses `settings`."""
    if "settings" in request.fixturenames:
        settings: Settings = request.getfixturevalue("settings")
        servers: Servers = request.getfixturevalue("servers")
        with psycopg.connect(settings.database) as connection:
            connection.execute("TRUNCATE items RESTART IDENTITY")
        servers.forget(settings.cache_prefix)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of a running API that has neither items nor cached lists."""
    with TestClient(api(settings)) as client:
        yield client


def scratch_name(servers: Servers) -> Iterator[str]:
    """Yield a name; remove the database and the keys of that name afterwards."""
    name = f"items_test_{uuid4().hex}"
    yield name
    servers.drop(name)
    servers.forget(f"items:{name}:")
