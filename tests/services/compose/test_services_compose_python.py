"""A Python project without a manifest, with a Compose file beside: its services run as those of any project."""

from __future__ import annotations

import os

import pytest

from tests.support.containers.checkout import Checkout

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
    """They start, are healthy, give the activation their ports, and stop with their last user."""
    inside = checkout.esker(
        "activate", "-s", "--", "sh", "-c", 'echo "$VIRTUAL_ENV"; env | grep -i port; esker services'
    )
    assert inside.stdout.startswith(f"{checkout.path}/.venv\n")
    checkout.esker("services", "start")
    assert {name: state["status"] for name, state in checkout.states().items()} == {"cache": "Running"}
    checkout.esker("services", "stop")
    assert sorted(os.listdir(checkout.path)) == [".venv", "compose.yaml", "requirements.txt"]
