from __future__ import annotations

from dataclasses import replace

import pytest

from esker.errors import ServiceError, UnknownService
from esker.services import graph
from esker.services.specification import CheckSpec, ContainerSpec, ServiceSpec

CHECK = CheckSpec(form="tcp", target=("localhost:1",))


def services(**dependencies):
    """Services that wait until the named ones have started."""
    return {
        name: ServiceSpec(name=name, command="true", depends_on=dict.fromkeys(names, "service_started"))
        for name, names in dependencies.items()
    }


def test_closure_puts_each_after_its_dependencies():
    """Asking for one asks for all it depends on, each once, and for nothing else."""
    specs = services(
        files=[], postgres=["files"], cache=[], migrate=["postgres"], api=["migrate", "postgres", "cache"], other=[]
    )
    assert graph.with_dependencies(specs, ["api"]) == ["cache", "files", "postgres", "migrate", "api"]
    assert graph.with_dependencies(specs, []) == []


def test_what_is_restarted_with_a_service():
    """Those that say so, and those that say so of them; nothing else that depends on it."""
    specs = services(db=[], app=["db"], worker=["app"], other=["db"])
    for name, target in {"app": "db", "worker": "app"}.items():
        specs[name] = replace(specs[name], restarts_with=(target,))
    assert graph.restarted_with(specs, ["db"]) == ["db", "app", "worker"]
    assert graph.restarted_with(specs, ["worker"]) == ["worker"]


def test_what_needs_no_container():
    """Neither itself nor anything that it depends on, however far away, runs in one; a container after it counts not."""
    specs = services(db=[], cache=[], migrate=["db"], api=["migrate", "cache"], worker=["cache"], front=["worker"])
    for name in ("db", "front"):
        container = ContainerSpec(service=name, project="", directory="", files=(), hashes=())
        specs[name] = replace(specs[name], container=container)
    assert graph.without_containers(specs) == ["cache", "worker"]
    assert graph.without_containers({}) == []


def test_dependents():
    """Who names a service is known for each, so that it stops after them."""
    assert graph.dependents(services(a=[], b=["a"], c=["a", "b"])) == {"a": {"b", "c"}, "b": {"c"}, "c": set()}


@pytest.mark.parametrize(
    ("specs", "cycle"),
    [
        (services(a=["b"], b=["c"], c=["a"]), "a -> b -> c -> a"),
        (services(x=["a"], a=["b"], b=["a"]), "a -> b -> a"),
        (services(a=["a"]), "a -> a"),
        (services(x=["p", "a"], p=["b"], a=["c"], b=["a"], c=["b"]), "b -> a -> c -> b"),
    ],
)
def test_a_cycle_is_refused_by_name(specs, cycle):
    """The message names the cycle alone, not what leads to it."""
    with pytest.raises(ServiceError, match=f"`{cycle}`"):
        graph.check_dependencies(specs)


def test_unknown_names_are_refused_with_the_known_ones():
    """An unknown dependency and an unknown request are told apart from each other, and both list what there is."""
    with pytest.raises(UnknownService) as caught:
        graph.check_dependencies(services(a=["b"], c=[]))
    assert caught.value.message == "the service `a` depends on `b`, which is not a service here"
    assert caught.value.hint == "the services here are `a`, `c`"
    with pytest.raises(UnknownService) as caught:
        graph.with_dependencies(services(a=[]), ["b"])
    assert (caught.value.service, caught.value.hint) == ("b", "the services here are `a`")
    with pytest.raises(UnknownService, match="there are no services here"):
        graph.with_dependencies({}, ["b"])


@pytest.mark.parametrize(
    ("target", "condition", "message"),
    [
        (ServiceSpec(name="a", command=""), "service_healthy", "has no health check"),
        (
            ServiceSpec(name="a", command="", has_table=True, check=CHECK),
            "service_completed_successfully",
            "is not a oneshot",
        ),
    ],
)
def test_conditions_that_can_never_hold_are_refused(target, condition, message):
    """Waiting for health without a check, or for the completion of a server, would wait for ever."""
    specs = {"a": target, "b": ServiceSpec(name="b", command="", depends_on={"a": condition})}
    with pytest.raises(ServiceError, match=message) as caught:
        graph.check_dependencies(specs)
    assert caught.value.hint


def test_what_waits_for_the_health_of_a_job_is_told_to_wait_for_its_end():
    """A migration has no health check, and to wait for its start alone would be too early."""
    job = ServiceSpec(name="a", command="", has_table=True, oneshot=True)
    specs = {"a": job, "b": ServiceSpec(name="b", command="", depends_on={"a": "service_healthy"})}
    with pytest.raises(ServiceError) as caught:
        graph.check_dependencies(specs)
    assert caught.value.hint == "give `a` a `healthcheck`, or wait for `service_completed_successfully`"


@pytest.mark.parametrize(
    ("target", "condition"),
    [
        (ServiceSpec(name="a", command="", has_table=True, check=CHECK), "service_healthy"),
        (ServiceSpec(name="a", command="", has_table=True, oneshot=True), "service_completed_successfully"),
        (ServiceSpec(name="a", command=""), "service_completed_successfully"),
        (ServiceSpec(name="a", command=""), "service_started"),
    ],
)
def test_conditions_that_can_hold_are_taken(target, condition):
    """A service without a table is Flox's, and may complete."""
    graph.check_dependencies({"a": target, "b": ServiceSpec(name="b", command="", depends_on={"a": condition})})
