"""The API: `GET /health`, `GET /items`, `POST /items`."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, TypedDict

from psycopg import OperationalError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from items.item import InvalidItem, NewItem
from items.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from items.settings import Settings

__all__ = ["api"]

LARGEST_BODY = 64 * 1024  # bytes


class State(TypedDict):
    """What every request can reach."""

    store: Store


async def health(request: Request[State]) -> Response:
    """Return the state of each server, with status 503 if one of them is not reachable."""
    answers = await request.state["store"].health()
    healthy = all(answers.values())
    parts = {name: "connected" if answer else "unreachable" for name, answer in answers.items()}
    status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"status": "ok" if healthy else "error", **parts}, status)


async def list_items(request: Request[State]) -> Response:
    """Return all items, oldest first."""
    return JSONResponse([item.as_json() for item in await request.state["store"].items()])


async def create_item(request: Request[State]) -> Response:
    """Insert the item that the body describes."""
    try:
        document = json.loads(await request.body())
    except (ValueError, RecursionError):
        return JSONResponse({"errors": {"body": "is not JSON"}}, HTTPStatus.BAD_REQUEST)
    item = await request.state["store"].add(NewItem.parse(document))
    return JSONResponse(item.as_json(), HTTPStatus.CREATED)


async def invalid_item(_request: Request, error: Exception) -> Response:
    """Answer a request whose body does not describe an item."""
    assert isinstance(error, InvalidItem)
    return JSONResponse({"errors": error.errors}, HTTPStatus.UNPROCESSABLE_ENTITY)


async def database_away(_request: Request, _error: Exception) -> Response:
    """Answer a request that failed because the database is not reachable."""
    return JSONResponse({"errors": {"database": "is unreachable, try again"}}, HTTPStatus.SERVICE_UNAVAILABLE)


def api(settings: Settings) -> Starlette:
    """Return the application; it connects to the servers when it starts."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[State]:
        async with open_store(settings) as store:
            yield {"store": store}

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/items", list_items),
            Route("/items", create_item, methods=["POST"]),
        ],
        exception_handlers={InvalidItem: invalid_item, OperationalError: database_away},
        lifespan=lifespan,
        max_body_size=LARGEST_BODY,
    )
