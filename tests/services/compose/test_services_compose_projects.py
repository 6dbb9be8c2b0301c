"""Compose files of many kinds: what Compose itself makes of each, and that Esker starts the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.containers.project import ComposeProject

pytestmark = [
    pytest.mark.live("containers"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

PROJECTS = Path(__file__).parent / "projects"
RUNNING, HEALTHY = "running", "healthy"
STATES = {
    "profiles": {"cache": RUNNING},
    "quoted_env_file": {"app": RUNNING},
    "anchors": {"worker": RUNNING, "slow-worker": RUNNING},
    "extends": {"web": HEALTHY, "mirror": HEALTHY},
    "built_image": {"api": HEALTHY, "once": "exited"},
    "secrets": {"db": HEALTHY},
    "depends_on_list": {"web": RUNNING, "app": RUNNING, "cache": RUNNING},
    "depends_on_map": {"app": RUNNING, "db": HEALTHY, "migrate": "exited", "sidecar": RUNNING},
    "healthchecks": {
        "text": HEALTHY,
        "shell": HEALTHY,
        "list": HEALTHY,
        "none": RUNNING,
        "disabled": RUNNING,
        "other": HEALTHY,
    },
    "external_network": {"cache": RUNNING},
    "override": {"cache": HEALTHY, "web": RUNNING},
    "include": {"app": RUNNING, "storage": HEALTHY, "broker": RUNNING},
}
"""What runs once Compose has started each project, or has ended."""


@pytest.fixture
def project(docker_engine, tmp_path):
    """Give a function that copies a project."""

    def copied(name):
        shutil.copytree(PROJECTS / name, tmp_path / name)
        return ComposeProject(docker_engine, tmp_path / name)

    return copied


@pytest.fixture
def written(docker_engine, tmp_path):
    """Give a function that writes a Compose file of its own."""

    def file(text):
        (tmp_path / "compose.yaml").write_text(text)
        return ComposeProject(docker_engine, tmp_path)

    return file


def test_every_project_is_started():
    """A project that is added says what runs once it has been started."""
    assert sorted(STATES) == sorted(os.listdir(PROJECTS))


@pytest.mark.parametrize("name", STATES)
def test_compose_starts_the_project(project, docker_engine, name):
    """Each file starts as it stands, and each health check holds."""
    if name == "external_network":
        docker_engine.docker("network", "create", "esker-example-shared")
        docker_engine.docker("volume", "create", "esker-example-data")
    started = project(name)
    started.compose("up", "--detach")
    for service in _services(name, "exited"):
        docker_engine.docker("wait", started.compose("ps", "--all", "--quiet", service))
    if healthy := _services(name, HEALTHY):
        started.compose("up", "--detach", "--wait", *healthy)
    assert started.states() == STATES[name]


@pytest.mark.parametrize("name", STATES)
def test_esker_starts_the_project(place, name):
    """The same services run as with Compose, or have ended, and each health check holds."""
    if name == "external_network":
        place.engine.docker("network", "create", "esker-example-shared")
        place.engine.docker("volume", "create", "esker-example-data")
    checkout = place.checkout(name=name)
    shutil.copytree(PROJECTS / name, checkout.path, dirs_exist_ok=True)
    checkout.esker("services", "start")
    states = {name: _as_compose_says(each) for name, each in checkout.states().items()}
    assert states == STATES[name]
    assert ComposeProject(place.engine, checkout.path).states() == STATES[name]
    place.engine.docker("kill", *place.engine.docker("ps", "--quiet").split())  # a stop would wait 10 s for some


def _as_compose_says(state):
    return "exited" if state["status"] == "Completed" else state["health"] or state["status"].lower()


def test_esker_needs_the_external_network(place):
    """What is missing is told in Compose's own words."""
    checkout = place.checkout(compose=(PROJECTS / "external_network/compose.yaml").read_text())
    assert "network esker-example-shared not found" in checkout.refused("services", "start")


def test_esker_follows_the_profiles(place):
    """A service with profiles is there when one of them is named."""
    checkout = place.checkout(compose=(PROJECTS / "profiles/compose.yaml").read_text())
    assert checkout.states().keys() == {"cache"}
    assert checkout.states(COMPOSE_PROFILES="observe").keys() == {"cache", "probe"}


def _services(name, state):
    return [service for service, expected in STATES[name].items() if expected == state]


def test_profiles_choose_services(project):
    """A service with profiles is there when one of them is named."""
    copied = project("profiles")
    assert copied.config()["services"].keys() == {"cache"}
    assert copied.config(COMPOSE_PROFILES="observe")["services"].keys() == {"cache", "probe"}
    assert copied.config("--profile", "debug")["services"].keys() == {"cache", "probe", "inspector"}


def test_quotes_of_an_env_file_are_read(project):
    """Compose's quotes, comments and expansions; `environment` wins, and a dollar is kept doubled in its output."""
    environment = project("quoted_env_file").config(GREETING_FROM_SHELL="hi")["services"]["app"]["environment"]
    assert environment == {
        "PLAIN": "plain value",
        "DOUBLE": "two words # no comment",
        "SINGLE": r"as $$it stands\n",
        "EXPORTED": "yes",
        "MULTILINE": "first\nsecond",
        "ESCAPED": 'tab\tand "quotes"',
        "EXPANDED": "plain value again",
        "DEFAULTED": "fallback",
        "EMPTY": "",
        "FROM_ENVIRONMENT": "wins",
        "OVERRIDDEN": "second",
        "JSON": '{"key": "value"}',
        "GREETING_FROM_SHELL": "hi",
        "PORT": "9000",
        "DOLLAR": "costs $$5",
    }


def test_anchors_merge(project):
    """What a merged mapping says itself wins."""
    config = project("anchors").config()
    assert config["name"] == "anchored"
    assert config["services"]["slow-worker"]["environment"] == {"QUEUE": "slow", "LEVEL": "info"}
    assert config["services"]["worker"]["restart"] == "unless-stopped"


def test_extends_reaches_other_files(project):
    """Paths are those of the file that says them; mappings are merged."""
    copied = project("extends")
    mirror = copied.config()["services"]["mirror"]
    assert mirror["environment"] == {"MODE": "development", "REGION": "here"}
    assert mirror["volumes"][0]["source"] == str(copied.path / "common/pages")


def test_an_image_is_built_with_its_arguments(project):
    """The argument reaches the image, whose own health check is used."""
    copied = project("built_image")
    assert copied.config(GREETING="good morning")["services"]["api"]["build"]["args"] == {"GREETING": "good morning"}
    copied.compose("up", "--detach", "--wait", "api", GREETING="good morning")
    assert copied.compose("exec", "api", "cat", "pages/index.html") == "good morning"


def test_secrets_and_configurations_are_files(project):
    """They are there under their targets; the caller's variables win over those of `.env`."""
    copied = project("secrets")
    copied.compose("up", "--detach", "--wait", API_TOKEN="t0ken", PLACE="there")
    read = copied.compose("exec", "db", "cat", "/run/secrets/db_password", "/run/secrets/api-token", "/etc/motd")
    assert read.split("\n") == ["not-a-real-password", "t0kenWelcome to there"]


def test_dependencies_have_conditions(project):
    """The list form means started; each part of the long form is kept."""
    web = project("depends_on_list").config()["services"]["web"]
    assert web["depends_on"]["cache"] == {"condition": "service_started", "required": True}
    app = project("depends_on_map").config()["services"]["app"]
    assert app["depends_on"]["db"] == {"condition": "service_healthy", "required": True, "restart": True}
    assert app["depends_on"]["tracing"]["required"] is False


def test_health_checks_are_lists(project):
    """Text becomes CMD-SHELL; NONE stays, and `disable` is told by itself."""
    services = project("healthchecks").config()["services"]
    assert services["text"]["healthcheck"]["test"] == ["CMD-SHELL", "valkey-cli ping | grep -q PONG"]
    assert services["none"]["healthcheck"] == {"test": ["NONE"]}
    assert services["disabled"]["healthcheck"] == {"disable": True}


def test_waiting_refuses_a_switched_off_check(project):
    """Compose 2.26 does not wait for a service whose check is NONE, which is why Esker does not use `--wait`."""
    copied = project("healthchecks")
    assert "has no healthcheck configured" in copied.run("up", "--detach", "--wait", "none").stderr


def test_an_override_replaces_removes_and_adds(project):
    """`!override` replaces a list or mapping whole, and `!reset` takes a key away."""
    services = project("override").config()["services"]
    assert [port.get("published") for port in services["cache"]["ports"]] == [None]
    assert services["cache"]["environment"] == {"FIRST": "1", "THIRD": "3"}
    assert services["cache"]["healthcheck"]["test"] == ["CMD", "valkey-cli", "ping"]
    assert "restart" not in services["cache"]
    assert "ports" not in services["web"]


def test_included_files_are_part_of_the_project(project):
    """Also those that an included file includes; each is read with its own variables and directory."""
    copied = project("include")
    config = copied.config()
    assert config["services"].keys() == {"app", "storage", "broker"}
    assert config["services"]["broker"]["image"] == "valkey/valkey:8"
    assert config["services"]["broker"]["labels"] == {"where": "local"}
    assert config["services"]["broker"]["volumes"][0]["source"] == str(copied.path / "broker/broker.conf")
    assert list(config["volumes"]) == ["storage"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {a: {image: busybox, depends_on: [b]}}", 'service "a" depends on undefined service "b"'),
        (
            "services: {a: {image: busybox, depends_on: [b]}, b: {image: busybox, depends_on: [a]}}",
            "dependency cycle detected: a -> b -> a",
        ),
        ("services: {a: {image: busybox, imag: x}}", "Additional property imag is not allowed"),
        ("services: {a: {image: '${IMAGE:?name an image}'}}", "name an image"),
        ("services: {a: {image: busybox, env_file: absent.env}}", "absent.env not found"),
        ("services: {a: {image: busybox, healthcheck: {test: [pg_isready]}}}", "must start either by"),
        ("services:\n  a:\n  image: [busybox\n", "yaml: line "),
    ],
)
def test_compose_refuses(written, text, words):
    """A file that Compose does not accept is refused when it is read, in these words."""
    done = written(text).run("config")
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            (PROJECTS / "external_network/compose.yaml").read_text(),
            "network esker-example-shared not found",
        ),
        ("services: {a: {image: 'example.invalid/absent:1'}}", "example.invalid"),
        ("services: {a: {image: busybox, command: 'false', healthcheck: {test: 'true'}}}", "exited (1)"),
    ],
)
def test_compose_does_not_start(written, text, words):
    """What only shows when it is started ends the start, in these words."""
    done = written(text).run("up", "--detach", "--wait")
    assert done.returncode != 0
    assert words in done.stderr
