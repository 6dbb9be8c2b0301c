"""What the engine says of containers, what is written down of them, and what others may have already."""

from __future__ import annotations

import json
import os

import pytest

from esker.errors import ServiceError
from esker.services.compose import claims
from esker.services.compose.container import Check, Container, parse_containers, read_started, write_started
from esker.services.specification import ContainerSpec
from tests.support.projects import write_project

LABELS = {
    "com.docker.compose.project": "shop",
    "com.docker.compose.project.working_dir": "/p",
    "com.docker.compose.service": "db",
    "com.docker.compose.config-hash": "abc",
}
INSPECTED = {
    "Id": "1" * 64,
    "Name": "/shop-db-1",
    "RestartCount": 2,
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "Pid": 77,
        "Error": "",
        "Health": {"Status": "unhealthy", "Log": [{"Output": "first"}, {"Output": "no answer\n"}]},
    },
    "Config": {"Labels": LABELS},
    "NetworkSettings": {
        "Ports": {
            "5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": "15432"}, {"HostIp": "::1", "HostPort": "15432"}],
            "80/tcp": None,
        }
    },
    "Mounts": [{"Type": "bind", "Source": "/x"}, {"Type": "volume", "Name": "shop_data"}],
}
DB = Container(
    id="1" * 64,
    name="shop-db-1",
    service="db",
    hash="abc",
    project="shop",
    status="running",
    pid=77,
    health="unhealthy",
    problem="no answer",
    restarts=2,
    directory="/p",
    ports={"5432/tcp": 15432},
    volumes=("shop_data",),
    check=Check(words=(), interval=30.0, timeout=30.0, start_period=0.0, start_interval=5.0),
)
SPEC = ContainerSpec(service="db", project="shop", directory="/p", files=("/p/compose.yaml",), hashes=("abc",))


STATE = {"Status": "running", "ExitCode": 0}


def test_a_container_is_described():
    """Labels, state, health with what the last check said, ports and volumes."""
    assert parse_containers(json.dumps([INSPECTED])) == [DB]


@pytest.mark.parametrize(
    ("state", "health", "runs"),
    [
        ({"Status": "created", "ExitCode": 0}, None, False),
        ({"Status": "exited", "ExitCode": 3, "Health": {"Status": "unhealthy"}}, "unhealthy", False),
        ({"Status": "running", "ExitCode": 0, "Health": {"Status": "none"}}, None, True),
        ({"Status": "running", "ExitCode": 0, "Healthcheck": {"Status": "", "Log": None}}, None, True),
        ({"Status": "restarting", "ExitCode": 1}, None, True),
        ({"Status": "paused", "ExitCode": 0}, None, True),
    ],
)
def test_states_of_docker_and_podman(state, health, runs):
    """Both write differently that there is no health check; a paused container still runs."""
    record = {"Id": "1", "Name": "web", "State": state, "Config": {"Labels": None}}
    found = parse_containers(json.dumps([record]))[0]
    assert (found.health, found.runs, found.service) == (health, runs, "")


NO_GROUP = (
    "OCI runtime exec failed: exec failed: unable to start container process: error adding pid 409 to cgroups: failed "
    "to write 409: openat2 /sys/fs/cgroup/freezer/docker/2fc4/cgroup.procs: no such file or directory: unknown"
)
NO_COMMAND = 'OCI runtime exec failed: exec failed: exec: "pg_isready": executable file not found in $PATH: unknown'


@pytest.mark.parametrize(
    ("outputs", "is_shut"),
    [
        ([NO_GROUP] * 3, True),
        (["", NO_GROUP, NO_GROUP, NO_GROUP], True),
        ([NO_GROUP] * 2, False),  # it may be about to end
        ([NO_GROUP, NO_GROUP, "no answer"], False),
        ([NO_COMMAND] * 3, False),
    ],
)
def test_a_container_in_which_nothing_can_be_run(outputs, is_shut):
    """The last three checks failed by the engine's own fault, which is another than a command that is missing."""
    log = [{"ExitCode": -1, "Output": each} for each in outputs]
    record = INSPECTED | {"State": STATE | {"Health": {"Status": "starting", "Log": log}}}
    assert parse_containers(json.dumps([record]))[0].is_shut == is_shut


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (["CMD", "pg_isready", "-q"], ("pg_isready", "-q")),
        (["CMD-SHELL", "pg_isready || exit 1"], ("/bin/sh", "-c", "pg_isready || exit 1")),
        (["NONE"], ()),
        (None, ()),
    ],
)
def test_the_command_of_a_check(test, words):
    """It stands in the form in which the engine runs it; a check that prints nothing is told by its status."""
    health = {"Status": "starting", "Log": [{"ExitCode": 2, "Output": ""}]}
    config = {"Labels": LABELS, "Healthcheck": {"Test": test}}
    record = INSPECTED | {"State": STATE | {"Health": health}, "Config": config}
    found = parse_containers(json.dumps([record]))[0]
    assert found.check.words == words
    assert found.problem == "its check ended with status 2"


@pytest.mark.parametrize("text", ["", "{}x", "7", "[7]", "[{}]", '[{"Id": "1", "Name": "a", "State": null}]'])
def test_another_answer_is_refused(text):
    """What is no output of `docker inspect` is an error."""
    with pytest.raises(ValueError, match=r"docker inspect|Expecting|Extra data"):
        parse_containers(text)


def test_what_was_started_is_written_down(tmp_path):
    """It is read as it was written; a file of others, or with other contents, says nothing."""
    dot_flox = f"{write_project(tmp_path)}/.flox"
    assert read_started(dot_flox) == {}
    write_started(dot_flox, {"db": "1" * 64})
    assert read_started(dot_flox) == {"db": "1" * 64}
    path = f"{dot_flox}/cache/esker/containers.json"
    assert os.stat(path).st_mode & 0o022 == 0
    for text in ("", "[]", '{"started": []}', '{"started": {"db": 7}}', '{"started": {"db": ["a"]}}'):
        with open(path, "w") as file:
            file.write(text)
        assert read_started(dot_flox) == {}


def test_a_project_of_another_directory():
    """Its containers are not used; a link to the directory is no other one."""
    claims.check_directory(SPEC, [DB, DB._replace(directory=""), DB._replace(directory="/p/./")])
    with pytest.raises(ServiceError, match="the Compose project `shop` belongs to `/q`"):
        claims.check_directory(SPEC, [DB, DB._replace(directory="/q")])


def test_names_and_volumes_of_others():
    """A name is refused whoever has it; a volume while a container of another project runs."""
    spec = ContainerSpec(
        service="db",
        project="shop",
        directory="/p",
        files=("/p/compose.yaml",),
        hashes=("abc",),
        container_name="the-db",
        shared_volumes=("data",),
    )
    other = DB._replace(project="other", directory="/q", name="other-db-1", volumes=("data",))
    claims.check(spec, DB._replace(name="the-db", volumes=("data",)))  # our own
    claims.check(spec, other._replace(status="exited"))
    claims.check(spec, other._replace(volumes=("more",)))
    with pytest.raises(ServiceError, match="the volume `data` of `db` is in use by the container `other-db-1` of `/q`"):
        claims.check(spec, other)
    with pytest.raises(ServiceError, match=r"the name `the-db`.* has a container of no Compose project"):
        claims.check(spec, other._replace(name="the-db", project="", directory="", status="exited"))


def test_a_port_that_no_variable_tells():
    """A running container must have the port that programs are told."""
    spec = ContainerSpec(
        service="db",
        project="shop",
        directory="/p",
        files=("/p/compose.yaml",),
        hashes=("abc",),
        port_variables={"PGPORT": "5432/tcp"},
    )
    claims.check_ports(spec, DB, {"PGPORT": 15432})
    claims.check_ports(spec, DB._replace(status="exited", ports={}), {"PGPORT": 15432})
    with pytest.raises(ServiceError, match="`shop-db-1` is published as 15432, but `PGPORT` is 5432"):
        claims.check_ports(spec, DB, {"PGPORT": 5432})
    with pytest.raises(ServiceError, match="`shop-db-1` is not published, but `PGPORT` is 5432"):
        claims.check_ports(spec, DB._replace(ports={}), {"PGPORT": 5432})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-30T00:36:16.842719374Z", 1795998976.842719),
        ("2026-11-30T01:36:16.842719374+01:00", 1795998976.842719),
        ("2026-11-30T00:36:16Z", 1795998976.0),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_when_a_container_started(text, seconds):
    """Docker says it in UTC and Podman in the time of the machine; the year 1 stands for never."""
    described = json.dumps([{"Id": "a", "Name": "b", "Config": {}, "State": {**STATE, "StartedAt": text}}])
    assert parse_containers(described)[0].started_at == seconds
