"""Services of a Compose project as services of an environment."""

from __future__ import annotations

import pytest

from esker.activate.compose.configuration import ComposeDependency, ComposePort, ComposeService
from esker.activate.compose.project import ComposeProject
from esker.declare.declaration import ComposeTable, ContainerTable
from esker.errors import EskerError, ServiceError
from esker.services.compose.specified import published_host, specify_containers

DB = ComposeService(
    name="db",
    ports=(
        ComposePort(target=5432, published="15432"),
        ComposePort(target=80, published="18080"),
        ComposePort(target=81, published="18081-18090"),
    ),
    stop_grace_period="1m30s",
    volumes=("shop_data", "shared"),
    external_volumes=("all",),
    container_name="the-db",
)
APP = ComposeService(
    name="app",
    depends_on={
        "db": ComposeDependency(condition="service_healthy", restart=True),
        "tracing": ComposeDependency(required=False),
    },
)
IDLE = ComposeService(name="idle")


def _project(*services):
    return ComposeProject(
        name="shop",
        directory="/p",
        files=("/p/deploy/compose.yaml", "/p/.flox/cache/esker/compose.override.yaml"),
        has_override=True,
        services={service.name: service for service in services},
        hashes={service.name: ("with", "without") for service in services},
        port_inputs={},
        variables={},
    )


def test_a_service_is_taken_over():
    """Its port has the variable that names it, else the container's own port; a range has none."""
    table = ComposeTable(services={"db": ContainerTable(ports={"PGPORT": 5432}, depends_on={"api": "service_healthy"})})
    db = specify_containers(_project(DB), table)["db"]
    assert db.ports == {"PGPORT": 15432, "80/tcp": 18080}
    assert (db.stop_grace_period, db.depends_on, db.oneshot) == (90.0, {"api": "service_healthy"}, False)
    assert db.container is not None
    assert db.container.directory == "/p/deploy"
    assert db.container.hashes == ("with", "without")
    assert db.container.port_variables == {"PGPORT": "5432/tcp"}
    assert db.container.shared_volumes == ("all", "shared")
    assert db.container.container_name == "the-db"


@pytest.mark.parametrize(
    ("places", "engine", "host"),
    [
        (("",), "", "127.0.0.1"),
        (("0.0.0.0", "127.0.0.1"), "unix:///run/docker.sock", "127.0.0.1"),
        (("::",), "", "::1"),
        (("192.0.2.7",), "", "192.0.2.7"),
        (("", "192.0.2.7"), "", None),
        (("",), "tcp://box.invalid:2375", "box.invalid"),
        (("192.0.2.7",), "ssh://me@box.invalid", "192.0.2.7"),
        (("",), "tcp://[", "127.0.0.1"),
        ((), "", None),
    ],
)
def test_where_ports_are_published(places, engine, host):
    """At the engine's machine unless the file names an address; two addresses are no one host."""
    ports = tuple(ComposePort(target=number, host_ip=place) for number, place in enumerate(places))
    assert published_host(ComposeService(name="db", ports=ports), engine) == host


def test_what_a_chosen_service_needs_is_there_too():
    """The named services and their dependencies; a dependency that is not required and not there is left out."""
    specs = specify_containers(_project(APP, DB, IDLE), ComposeTable(services=("app",)))
    assert specs.keys() == {"app", "db"}
    assert specs["app"].depends_on == {"db": "service_healthy"}
    assert specify_containers(_project(APP, DB, IDLE), None).keys() == {"app", "db", "idle"}


def test_a_service_that_is_not_there():
    """It is named, with those that are."""
    with pytest.raises(EskerError, match="web"):
        specify_containers(_project(DB), ComposeTable(services=("web",)))


@pytest.mark.parametrize("replicas", [0, 2])
def test_replicas_are_refused(replicas):
    """Esker runs one of each service, and says so."""
    service = ComposeService(name="web", replicas=replicas)
    with pytest.raises(ServiceError, match=rf"`web` has {replicas} replicas in the Compose file"):
        specify_containers(_project(service), None)
