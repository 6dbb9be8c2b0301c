"""The API, as a client sees it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from items.api import api
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from items.settings import Settings

DEMO = {"name": "demo", "description": "created from the shell"}


def test_healthy(client: TestClient) -> None:
    """When both servers are reachable, health says so."""
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": "connected", "cache": "connected"})


@pytest.mark.parametrize(
    ("part", "away"),
    [("database", {"database": "host=/nowhere"}), ("cache", {"cache": "unix:///nowhere/valkey.sock"})],
)
def test_unhealthy(settings: Settings, part: str, away: dict[str, str]) -> None:
    """When one server is unreachable, health answers 503 and names it."""
    with TestClient(api(replace(settings, **away))) as client:
        answer = client.get("/health")
    healthy = {"status": "ok", "database": "connected", "cache": "connected"}
    assert (answer.status_code, answer.json()) == (503, {**healthy, "status": "error", part: "unreachable"})


def test_create_and_list(client: TestClient) -> None:
    """A posted item comes back with an id, and is listed after the items that were posted before it."""
    assert client.get("/items").json() == []
    created = [client.post("/items", json={"item": {**DEMO, "name": name}}) for name in ("demo", "δ 'quoted' \\ %s")]
    assert [answer.status_code for answer in created] == [201, 201]
    first, second = (answer.json() for answer in created)
    assert {**DEMO, "id": 1, "created_at": first["created_at"]} == first
    assert first["created_at"].endswith("Z")
    assert second["name"] == "δ 'quoted' \\ %s"
    assert client.get("/items").json() == [first, second]


def test_list_is_cached(client: TestClient, settings: Settings) -> None:
    """A second read does not ask the database; the first read after a write asks it again."""
    client.post("/items", json={"item": DEMO})
    before = client.get("/items").json()
    with psycopg.connect(settings.database) as connection:
        connection.execute("DELETE FROM items")
    assert client.get("/items").json() == before
    created = client.post("/items", json={"item": DEMO}).json()
    assert client.get("/items").json() == [created]


def test_without_cache(settings: Settings) -> None:
    """When the cache is unreachable, items are still written to the database and read from it."""
    with TestClient(api(replace(settings, cache="unix:///nowhere/valkey.sock"))) as client:
        created = client.post("/items", json={"item": DEMO}).json()
        assert client.get("/items").json() == [created]


def test_without_database(settings: Settings) -> None:
    """When the database is unreachable, a write answers 503 with a message."""
    with TestClient(api(replace(settings, database="host=/nowhere"))) as client:
        answer = client.post("/items", json={"item": DEMO})
    assert (answer.status_code, answer.json()) == (503, {"errors": {"database": "is unreachable, try again"}})


def test_lost_connections(client: TestClient, settings: Settings) -> None:
    """Connections that the database has closed are replaced, and clients do not notice."""
    assert client.get("/items").status_code == 200
    with psycopg.connect(settings.database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert client.post("/items", json={"item": DEMO}).status_code == 201


@pytest.mark.parametrize(
    ("document", "errors"),
    [
        ([], {"item": "must be an object with a name and, if you like, a description"}),
        ({"item": "demo"}, {"item": "must be an object with a name and, if you like, a description"}),
        ({"item": {}}, {"name": "must not be empty"}),
        ({"item": {"name": ""}}, {"name": "must not be empty"}),
        ({"item": {"name": None, "description": 1}}, {"name": "must be text", "description": "must be text"}),
        ({"item": {"name": "x" * 201}}, {"name": "must not be longer than 200 characters"}),
        ({"item": {"name": "a\0b"}}, {"name": "holds a character that cannot be stored"}),
        ({"item": {"name": "\ud800"}}, {"name": "holds a character that cannot be stored"}),
        ({"item": {"name": "demo", "id": 7}}, {"id": "is not a field of an item"}),
    ],
)
def test_invalid_item(client: TestClient, document: object, errors: dict[str, str]) -> None:
    """A body that is not an item is refused with an error for each wrong field, and nothing is stored."""
    answer = client.post("/items", content=json.dumps(document))
    assert (answer.status_code, answer.json()) == (422, {"errors": errors})
    assert client.get("/items").json() == []


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"\xff", 400), (b"[" * 60_000, 400), (b"x" * 70_000, 413)]
)
def test_not_json(client: TestClient, body: bytes, status: int) -> None:
    """A body that is not JSON, or is too large, is refused."""
    assert client.post("/items", content=body).status_code == status
