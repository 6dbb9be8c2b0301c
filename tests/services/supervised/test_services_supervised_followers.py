"""A service that Compose restarts with another, and a service that is declared twice."""

from __future__ import annotations

import pytest

from esker.errors import ServiceError, UsageError
from esker.services.specification import ContainerSpec, ServiceSpec
from esker.services.supervised.chamber import joined

CONTAINER = ContainerSpec(service="db", project="p", directory="/p", files=("/p/compose.yaml",), hashes=("a",))


def test_what_restarts_with_another_service_is_restarted_after_it(project):
    """Only if it runs, and also through a third one."""
    project.declare("db")
    project.declare("api", restarts_with=("db",), depends_on={"db": "service_started"})
    project.declare("web", restarts_with=("api",), depends_on={"api": "service_started"})
    project.declare("idle", restarts_with=("db",))
    services = project.services
    services.start("web")
    before = {each.name: each.pid for each in services.status()}
    assert services.restart("db") == {"db": "restarted", "api": "restarted", "web": "restarted"}
    after = {each.name: each.pid for each in services.status()}
    assert all(after[name] and after[name] != before[name] for name in ("db", "api", "web"))
    assert after["idle"] is None
    services.stop()


def test_a_service_that_is_declared_twice():
    """It is an error that names the choice; the choice decides, and every other service stays."""
    process, container = ServiceSpec(name="db", command="db"), ServiceSpec(name="db", command="", container=CONTAINER)
    other = ServiceSpec(name="api", command="api", depends_on={"db": "service_healthy"})
    processes, containers = {"db": process, "api": other}, {"db": container}
    with pytest.raises(ServiceError, match="`db` is declared twice") as caught:
        joined(processes, containers, None)
    assert "--services-from supervised|compose" in caught.value.hint
    assert joined(processes, containers, "supervised") == {"db": process, "api": other}
    assert joined(processes, containers, "compose") == {"db": container, "api": other}
    with pytest.raises(UsageError, match="ESKER_SERVICES_FROM is `flox`"):
        joined(processes, containers, "flox")


def test_a_container_whose_completion_is_awaited_is_a_oneshot():
    """Also if a service of this machine waits for it."""
    container = ServiceSpec(name="migrate", command="", container=CONTAINER)
    waiting = ServiceSpec(name="api", command="api", depends_on={"migrate": "service_completed_successfully"})
    assert joined({"api": waiting}, {"migrate": container}, None)["migrate"].oneshot
