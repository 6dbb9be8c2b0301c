from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from esker.declare.declaration import Declaration, EskerTable, HealthCheck, ServiceTable
from esker.errors import ServiceError
from esker.formats.manifest import Dependency, Manifest, Service, Services, Shutdown
from esker.services import specification
from esker.services.specification import CheckSpec, ServiceSpec

LINUX = "x86_64-linux"


def declaration(services, tables):
    """A declaration of these services and nothing else."""
    manifest = Manifest(schema="1.14.0", services=Services(services=services))
    return Declaration(project="/p", name="p", manifest=manifest, esker=EskerTable(services=tables))


def test_a_service_without_a_table_is_floxs():
    """What Flox declares is taken over; Esker's rules do not hold for it."""
    declared = declaration(
        {
            "db": Service(command="pg", vars={"A": "$B"}, is_daemon=True, shutdown=Shutdown(command="halt")),
            "mac": Service(command="x", systems=("aarch64-darwin",)),
        },
        {},
    )
    assert specification.specify(declared, LINUX, {}) == {
        "db": ServiceSpec(name="db", command="pg", vars={"A": "$B"}, is_daemon=True, shutdown="halt")
    }


def test_a_table_is_taken_over_with_its_automatic_ports():
    """A port of 0 is the one that was chosen for its variable; a fixed one stays."""
    table = ServiceTable(
        type="oneshot",
        depends_on={"x": "service_started"},
        restart="on-failure",
        stop_signal="SIGINT",
        stop_grace_period=5.0,
        ports={"PGPORT": 0, "WEB": 8080},
        pass_env=("AWS_PROFILE",),
        user="postgres",
    )
    spec = specification.specify(declaration({"db": Service(command="pg")}, {"db": table}), LINUX, {"PGPORT": 12345})[
        "db"
    ]
    assert spec == ServiceSpec(
        name="db",
        command="pg",
        has_table=True,
        oneshot=True,
        depends_on={"x": "service_started"},
        restart="on-failure",
        stop_signal="SIGINT",
        stop_grace_period=5.0,
        ports={"PGPORT": 12345, "WEB": 8080},
        pass_env=("AWS_PROFILE",),
        user="postgres",
    )
    with pytest.raises(ServiceError, match="no port was chosen for `PGPORT` of the service `db`"):
        specification.specify(declaration({"db": Service(command="pg")}, {"db": table}), LINUX, {})


def test_floxs_dependencies_and_shutdown_join_those_of_the_table():
    """A dependency on a service for other systems is dropped, and what may end anyhow is known."""

    def after(**conditions):
        return {name: Dependency(condition=condition) for name, condition in conditions.items()}

    declared = declaration(
        {
            "job": Service(command="x"),
            "db": Service(command="x"),
            "mac": Service(command="x", systems=("aarch64-darwin",)),
            "web": Service(
                command="x",
                depends_on=after(job="process_completed", mac="process_started", db="process_started"),
                shutdown=Shutdown(signal=2, timeout_seconds=3),
            ),
            "late": Service(command="x", depends_on=after(web="process_completed_successfully")),
        },
        {"web": ServiceTable(depends_on={"db": "service_started", "late": "service_healthy"})},
    )
    specs = specification.specify(declared, LINUX, {})
    assert specs["web"].depends_on == {
        "job": "service_completed",
        "db": "service_started",
        "late": "service_healthy",
    }
    assert (specs["web"].stop_signal, specs["web"].stop_grace_period) == ("SIGINT", 3.0)
    assert specs["late"].depends_on == {"web": "service_completed_successfully"}
    assert [name for name, spec in specs.items() if spec.any_end] == ["job"]


@pytest.mark.parametrize(
    ("check", "form", "target"),
    [
        (HealthCheck(test="pg_isready -q"), "shell", ("pg_isready -q",)),
        (HealthCheck(test=("pg_isready", "-q")), "exec", ("pg_isready", "-q")),
        (HealthCheck(test=("CMD", "pg_isready")), "exec", ("pg_isready",)),
        (HealthCheck(test=("CMD-SHELL", "pg_isready || exit 1")), "shell", ("pg_isready || exit 1",)),
        (HealthCheck(tcp="localhost:1"), "tcp", ("localhost:1",)),
        (HealthCheck(unix="x.sock"), "unix", ("x.sock",)),
        (HealthCheck(http="http://localhost:1/"), "http", ("http://localhost:1/",)),
        (HealthCheck(log="ready"), "log", ("ready",)),
    ],
)
def test_every_form_of_check(check, form, target):
    """Each form is told by its key, and Compose's own spelling of a list is read as Compose does."""
    declared = declaration({"a": Service(command="x")}, {"a": ServiceTable(healthcheck=check)})
    assert specification.specify(declared, LINUX, {})["a"].check == CheckSpec(form=form, target=target)


def test_a_specification_survives_the_way_to_the_supervisor():
    """Its fields are JSON, and `parse` makes the same value of them."""
    spec = ServiceSpec(
        name="db",
        command="pg",
        check=CheckSpec(form="exec", target=("a", "b")),
        ports={"P": 1},
        pass_env=("A",),
        depends_on={"x": "service_healthy"},
    )
    for value in (spec, ServiceSpec(name="x", command="y")):
        assert specification.parse(json.loads(json.dumps(asdict(value)))) == value


def test_only_the_base_and_what_is_named_passes():
    """A service gets who and where the caller is and what `pass-env` names, nothing else of the caller's."""
    spec = ServiceSpec(name="a", command="x", pass_env=("AWS_PROFILE", "MISSING"))
    caller = {
        "HOME": "/h",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/r",
        "AWS_PROFILE": "p",
        "AWS_SECRET": "s",
        "PATH": "/bin",
    }
    assert specification.passed_variables(caller, spec.pass_env) == {
        "HOME": "/h",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/r",
        "AWS_PROFILE": "p",
    }
