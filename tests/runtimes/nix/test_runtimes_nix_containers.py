"""A flake with a Compose file beside it: its services run in containers, without any `.flox`."""

from __future__ import annotations

import json
import os

import pytest

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

COMPOSE = """
services:
  cache:
    image: valkey/valkey:8-alpine
    ports: ["127.0.0.1::6379"]
    healthcheck:
      test: ["CMD", "valkey-cli", "ping"]
      interval: 1s
"""


def test_services_of_a_flake_in_containers(flake, docker_engine):
    """They start, are exported to hand-typed Compose commands, and stop; and so they do with an activation."""
    project = flake('default = pkgs.mkShell { FOO = "bar"; };', files={"compose.yaml": COMPOSE})
    variables = docker_engine.variables

    def esker(*arguments):
        done = project.esker(*arguments, **variables)
        assert done.status == 0, done.err
        return done.out

    esker("services", "start")
    (state,) = json.loads(esker("services", "status", "--json"))
    assert (state["name"], state["health"]) == ("cache", "healthy")
    inside = esker("activate", "--", "sh", "-c", "echo $FOO; docker compose ps --services")
    assert inside.split() == ["bar", "cache"]
    assert "cache" in esker("activate", "-s", "--", "docker", "compose", "ps", "--services")
    esker("services", "stop")
    (state,) = json.loads(esker("services", "status", "--json"))
    assert state["status"] == "Stopped"
    assert not (project.directory / ".flox").exists()
