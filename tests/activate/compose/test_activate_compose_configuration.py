"""What is taken from Compose's own description of a project, and the override file that Esker adds."""

from __future__ import annotations

import json

import msgspec
import pytest

from esker.activate.compose.configuration import ComposeDependency, ComposePort, ComposeService, parse
from esker.activate.compose.docker_command import answered, compose_command, compose_refused, engine_refused
from esker.activate.compose.project import _override
from esker.errors import CommandFailed, NoEngine, ServiceError

DESCRIBED = {
    "name": "shop",
    "services": {
        "db": {
            "image": "postgres:17",
            "environment": {"POSTGRES_PASSWORD": "very secret"},
            "command": ["--secret", "very secret"],
            "container_name": "the-db",
            "depends_on": {
                "files": {"condition": "service_completed_successfully", "required": False},
                "cache": {"condition": "service_healthy", "required": True, "restart": True},
            },
            "ports": [
                {"mode": "ingress", "host_ip": "127.0.0.1", "target": 5432, "protocol": "tcp"},
                {"mode": "ingress", "target": 5433, "published": "15433", "protocol": "udp"},
                {"mode": "ingress", "target": 5434, "published": "15434-15440", "protocol": "tcp"},
            ],
            "stop_grace_period": "1m30s",
            "volumes": [
                {"type": "volume", "source": "data", "target": "/data"},
                {"type": "volume", "source": "others", "target": "/others"},
                {"type": "bind", "source": "/srv", "target": "/srv"},
                {"type": "volume", "target": "/anonymous"},
            ],
        },
        "cache": {"build": {"context": "."}, "deploy": {"replicas": 2}},
        "files": {"image": "busybox", "scale": 0},
    },
    "volumes": {"data": {"name": "shop_data"}, "others": {"name": "all", "external": True}},
}


def test_a_description_is_taken_over():
    """Names, edges, ports, images and volumes are kept."""
    found = parse(json.dumps(DESCRIBED))
    assert found.name == "shop"
    assert found.services == {
        "db": ComposeService(
            name="db",
            image="postgres:17",
            container_name="the-db",
            depends_on={
                "files": ComposeDependency(condition="service_completed_successfully", required=False),
                "cache": ComposeDependency(condition="service_healthy", restart=True),
            },
            ports=(
                ComposePort(target=5432, host_ip="127.0.0.1", mode="ingress"),
                ComposePort(target=5433, published="15433", protocol="udp", mode="ingress"),
                ComposePort(target=5434, published="15434-15440", mode="ingress"),
            ),
            stop_grace_period="1m30s",
            volumes=("shop_data",),
            external_volumes=("all",),
        ),
        "cache": ComposeService(name="cache", is_built=True, replicas=2),
        "files": ComposeService(name="files", image="busybox", replicas=0),
    }
    assert [port.number for port in found.services["db"].ports] == [None, 15433, None]


def test_no_secret_is_kept():
    """Variables and commands may hold secrets, and are not in what may be written down."""
    assert b"secret" not in msgspec.json.encode(parse(json.dumps(DESCRIBED)))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        '{"name": ""}',
        '{"name": "a", "services": []}',
        '{"name": "a", "services": {"b": {"ports": [{}]}}}',
        '{"name": "a", "services": {"b": {"ports": [{"target": 1e400}]}}}',
        '{"name": "a", "services": {"b": {"depends_on": {"c": {"condition": "service_eaten"}}}}}',
        '{"name": "a", "services": {"b": {"depends_on": ["c"]}}}',
        '{"name": "a", "services": {"b": {"scale": "many"}}}',
    ],
)
def test_another_answer_is_refused(answer):
    """What is no such description is an error, and not a service without edges."""
    with pytest.raises(ServiceError, match="Compose's description of the project cannot be read"):
        parse(answer)


def test_the_override_replaces_all_ports_of_a_service():
    """`!override` replaces the whole list, so each port is there in its long form; other services are not."""
    ports = (
        ComposePort(target=5432, published="15432", host_ip="127.0.0.1", mode="ingress"),
        ComposePort(target=53, published="1053", protocol="udp", mode="host"),
    )
    assert _override({'the "db"': ComposeService(name='the "db"', ports=ports)}) == (
        "# Made by Esker, for the ports that the project's own Compose files leave open.\n"
        "services:\n"
        '  "the \\"db\\"":\n'
        "    ports: !override\n"
        '      - {"target": 5432, "mode": "ingress", "host_ip": "127.0.0.1", "published": "15432", "protocol": "tcp"}\n'
        '      - {"target": 53, "mode": "host", "published": "1053", "protocol": "udp"}\n'
    )


def test_the_words_of_compose():
    """Files in their order; a project's name only where one is given."""
    assert compose_command(("/p/a", "/p/b")) == ["docker", "compose", "--file", "/p/a", "--file", "/p/b"]
    assert compose_command(("/p/a",), "shop")[-2:] == ["--project-name", "shop"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?",
            "the container engine refuses: Cannot connect to the Docker daemon",
            "start the engine",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///x.sock: connect: …",
            "the container engine refuses: permission denied while trying to connect",
            "join the group `docker`",
        ),
        (
            "Error response from daemon: driver failed: listen tcp4 127.0.0.1:80: bind: address already in use\nError: x",
            "127.0.0.1:80: bind: address already in use",
            "end what listens on that port",
        ),
        ("Error response from daemon: No such image: absent:1", "No such image: absent:1", "pull or build it"),
        ("docker: 'compose' is not a docker command.", "is not a docker command", "install Docker Compose v2"),
        ("", "the container engine refuses: it said nothing", None),
    ],
)
def test_a_refusal_of_the_engine_has_a_remedy(text, message, hint):
    """Its own words are in the message, and what to do follows from them."""
    error = engine_refused(text)
    assert message in error.message
    assert (error.hint or "").startswith(hint or "")
    assert bool(error.hint) == bool(hint)


def test_a_refusal_of_a_file_has_its_place():
    """Compose's last words are told, with the line that it names; permission inside of them is no group's matter."""
    words = ("docker", "compose", "config")
    failure = CommandFailed("x", status=15, output="time=… level=warning\nyaml: line 3: did not find expected key\n")
    assert compose_refused(words, failure).message == (
        "Compose refuses the project's files: yaml: line 3: did not find expected key"
    )
    secret = CommandFailed("x", status=1, output="open /p/secret.env: permission denied")
    assert compose_refused(words, secret).message == (
        "Compose refuses the project's files: open /p/secret.env: permission denied"
    )


def test_what_a_new_checkout_lacks_is_told():
    """A password is made in each checkout, and a container's port may be one that Esker has chosen."""
    words = ("docker", "compose", "up")
    output = "env file /p/.flox/cache/esker/postgres.env not found: stat /p/.flox: no such file or directory\n"
    assert compose_refused(words, CommandFailed("x", status=1, output=output)).hint == (
        "make this checkout's password: esker services add NAME --container"
    )
    assert compose_refused(words, CommandFailed("x", status=1, output="env file /p/x.env not found\n")).hint == (
        "correct the Compose file"
    )
    assert "services ports --renew" in engine_refused("Error: bind: address already in use\n").hint


def test_the_first_line_of_the_docker_command_says_what_is_wrong():
    """The advice that follows it does not."""
    told = "docker: 'compose' is not a docker command.\nSee 'docker --help'\n"
    refusal = engine_refused(told)
    assert refusal.message == "the container engine refuses: docker: 'compose' is not a docker command."
    assert "Compose v2" in refusal.hint
    for line in ("unknown command: docker compose", "unknown flag: --file"):
        told = f"{line}\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]\n\nRun 'docker --help' for more information\n"
        refusal = engine_refused(told)
        assert refusal.message == f"the container engine refuses: {line}"
        assert "Compose v2" in refusal.hint


@pytest.mark.parametrize(
    ("told", "is_absent"),
    [
        ("Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?", True),
        ("failed to connect to the docker API at unix:///x.sock; check if the daemon is running", True),
        ("permission denied while trying to connect to the Docker daemon socket at unix:///x.sock", True),
        ('error during connect: Get "http://h.invalid:1/v1.50/containers/json": dial tcp: no such host', True),
        ('Failed to initialize: unable to resolve docker endpoint: context "x": context not found', True),
        ("docker: 'compose' is not a docker command.", True),
        ("Error response from daemon: driver failed: Bind for 0.0.0.0:80 failed: port is already allocated", False),
        ("Error response from daemon: No such image: x:latest", False),
        ("", False),
    ],
)
def test_no_engine_is_another_error_than_one_that_refuses(told, is_absent):
    """What needs no container does without an engine; what an engine has refused is wrong there too."""
    assert isinstance(engine_refused(told), NoEngine) is is_absent
    assert engine_refused(told).hint or not is_absent


def test_an_engine_that_does_not_answer_in_time(tmp_path):
    """The question and its limit are named; a command that is missing is another error."""
    (tmp_path / "docker").symlink_to("/bin/sleep")
    with pytest.raises(NoEngine, match=r"does not answer: `docker 60` has not ended within 0\.1 s"):
        answered(["docker", "60"], {"PATH": str(tmp_path)}, str(tmp_path), seconds=0.1)
    with pytest.raises(NoEngine, match="the command `docker` is not here"):
        answered(["docker", "ps"], {"PATH": "/nowhere"}, str(tmp_path))
