"""PostgreSQL and Valkey in containers: by Compose itself and through Esker; and both as supervised processes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench.machine import Load, machine
from bench.measure import rounds
from bench.projects import copy_example
from bench.report import Figure, ratio, wall
from bench.workspace import ESKER, workspace
from tests.support.containers.engine import DockerEngine
from tests.support.projects import write_project

if TYPE_CHECKING:
    from pathlib import Path

    from bench.measure import Cost
    from bench.workspace import Workspace

COMPOSE = """
services:
  db:
    image: postgres:17-alpine
    environment: {POSTGRES_HOST_AUTH_METHOD: trust}
    volumes: ["data:/var/lib/postgresql/data"]
    ports: ["127.0.0.1::5432"]
    healthcheck: {test: pg_isready -U postgres -h 127.0.0.1, interval: 2s, start_interval: 50ms, start_period: 30s}
  cache:
    image: valkey/valkey:8-alpine
    ports: ["127.0.0.1::6379"]
    healthcheck: {test: [CMD, valkey-cli, ping], interval: 2s, start_interval: 50ms, start_period: 30s}
volumes: {data: {}}
"""
SERVERS = ("postgres", "cache")


def figure(count: int) -> Figure:
    """Measure `count` rounds."""
    load = Load()
    with DockerEngine() as engine, workspace() as plain:
        plain.directory.chmod(0o711)  # root's services run as another user
        space = replace(plain, environment={**plain.environment, **engine.variables})
        by_hand, through = (write_project(space.directory / name, name=name) for name in ("by-hand", "through-esker"))
        for project in (by_hand, through):
            (project / "compose.yaml").write_text(COMPOSE)
        items = copy_example(space.directory / "items", scripts=True)
        starts = rounds(
            {
                "compose": partial(_by_compose, space, by_hand),
                "esker": partial(_by_esker, space, through),
                "supervised": partial(_by_esker, space, items, *SERVERS),
            },
            count,
            after=load.look,
        )
        described = machine(space.uv)
    compose = wall("docker compose up --wait", starts["compose"])
    esker = wall("esker services start, the same containers", starts["esker"])
    supervised = wall("esker services start, supervised", starts["supervised"])
    return Figure(
        name="containers",
        title="PostgreSQL and Valkey, from stopped to healthy; containers and data are there, no supervisor runs",
        machine=described,
        load=load.highest,
        lines=(
            compose,
            esker,
            supervised,
            ratio(esker, compose, aim=1),
            ratio(supervised, compose, aim=0.2),
        ),
        notes=("Each server's health is asked every 50 ms until it is healthy, in all three.",),
    )


def _by_compose(space: Workspace, project: Path) -> Cost:
    cost = space.run("docker", "compose", "up", "--detach", "--wait", directory=project)
    space.run("docker", "compose", "stop", directory=project)
    return cost


def _by_esker(space: Workspace, project: Path, *services: str) -> Cost:
    cost = space.run(ESKER, "services", "start", *services, "-d", project)
    space.run(ESKER, "services", "stop", "-d", project)
    return cost
