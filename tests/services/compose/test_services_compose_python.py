"""A Python project without a manifest, with a Compose file beside: its services run as those of any project."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.containers.checkout import ESKER, Checkout

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

_COMPOSE = """
services:
  cache:
    image: valkey/valkey:8-alpine
    ports: ["127.0.0.1::6379"]
    healthcheck: {test: [CMD, valkey-cli, ping], interval: 1s, start_interval: 50ms, start_period: 10s}
"""


@pytest.fixture
def checkout(place):
    """Give a checkout that has no `.flox`."""
    path = place.path / "shop"
    path.mkdir()
    made = Checkout(place, path)
    place.checkouts.append(made)
    made.write("compose.yaml", _COMPOSE)
    made.write("requirements.txt", "")
    return made


def test_containers_beside_a_virtual_environment(checkout):
    """They start, are healthy for a program of the environment, and stop; nothing of Esker's is in the project."""
    inside = checkout.esker(
        "activate",
        "-s",
        "--",
        "sh",
        "-c",
        'echo "$VIRTUAL_ENV"; "$ESKER" services status --json',
        ESKER=f"{os.path.dirname(ESKER[0])}/esker",
    )
    first, _, told = inside.stdout.partition("\n")
    assert first == f"{checkout.path}/.venv"
    (cache,) = json.loads(told)
    assert (cache["name"], cache["health"]) == ("cache", "healthy")
    checkout.esker("services", "start")
    assert checkout.states()["cache"]["health"] == "healthy"
    checkout.esker("services", "stop")
    assert sorted(os.listdir(checkout.path)) == [".venv", "compose.yaml", "requirements.txt"]
