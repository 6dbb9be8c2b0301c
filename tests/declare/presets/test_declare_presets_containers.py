"""What one word writes into a Compose file, and what the manifest says of it."""

from __future__ import annotations

import re
import tomllib

import pytest

from esker.declare.presets.addition import services_of, variables_of, with_preset
from esker.declare.presets.catalogue import preset, presets
from esker.declare.presets.containers import (
    check_tables,
    compose_file,
    container_lines,
    secret_texts,
    with_container,
)
from esker.declare.validate import read_text
from esker.errors import AlreadyExists, NotEditable
from esker.formats.simple_yaml import parse
from tests.support.projects import EMPTY

NAMES = list(presets())
OWN = """\
# What this project talks to.
name: shop

services:
  # the queue
  queue:
    image: rabbitmq:4  # the usual one
    ports:
      - "5672:5672"
# about what follows
volumes:
  mail:
"""


def lines_of(name):
    """Return what the Compose file gets of a preset."""
    return container_lines(preset(name), secrets=".flox/cache/esker", project=".")


def with_service(text, name):
    """Return a Compose file with the service of a preset."""
    return with_container(text, lines_of(name), "compose.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_a_new_file_has_the_service_its_port_and_its_check(name):
    """Each port of the manifest is one that the container publishes on loopback, with the host's port left open."""
    text = with_service("", name)
    declared = tomllib.loads(preset(name).fragment("container"))["plugins"]["esker"]["compose"]["services"]
    compose = parse(text)
    assert list(compose["services"]) == list(declared) == [name]
    service = compose["services"][name]
    assert service["ports"] == [f"127.0.0.1::{port}" for port in declared[name]["ports"].values()]
    assert service["image"]
    assert set(service["healthcheck"]) == {
        "test",
        "start_period",
        "start_interval",
        "interval",
        "timeout",
        "retries",
    }
    named = [volume.partition(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
    assert named == list(compose.get("volumes") or {})
    files = [file for file in service.get("env_file", []) if file]
    assert files == [f".flox/cache/esker/{file}" for file in preset(name).secrets if file.endswith(".env")]


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_is_valid(name):
    """The variables and the port are in the manifest, and nothing of [services]."""
    edit = with_preset(EMPTY, preset(name), "container")
    manifest, esker = read_text(edit.text)
    assert esker.compose.file is None  # Compose finds it, and what overrides it
    assert list(esker.compose.services) == services_of(preset(name).fragment("container")) == [name]
    ports = esker.compose.services[name].ports
    assert variables_of(preset(name).fragment("container")) == [*ports, *tomllib.loads(edit.text)["vars"]]
    assert manifest.services is None or not manifest.services.services
    assert (esker.python, esker.conda, edit.installed) == (None, None, ())


@pytest.mark.parametrize("name", NAMES)
def test_no_password_is_in_either_file(name):
    """Passwords stand in the secrets alone; the manifest names a file of them where there are some."""
    chosen = preset(name)
    written = lines_of(name) + chosen.fragment("container")
    assert not re.search(r"://[^/\s]*:[^/\s$]*@|PASSWORD\s*[:=]", written)
    secrets = secret_texts(chosen, "secret-of-the-test")
    assert all("secret-of-the-test" in text for text in secrets.values())
    for file in list(secrets)[1:]:
        assert f"$FLOX_ENV_CACHE/esker/{file}" in chosen.fragment("container")


def test_a_file_of_ones_own_keeps_all_it_has():
    """The service stands behind the others, the volume behind the others, and every comment where it was."""
    text = with_service(OWN, "valkey")
    block = lines_of("valkey").split("\n")
    services = "\n".join(block[1 : block.index("volumes:") - 1])
    assert text == OWN.replace('      - "5672:5672"\n', f'      - "5672:5672"\n\n{services}\n') + "  valkey:\n"
    assert list(parse(text)["services"]) == ["queue", "valkey"]


def test_the_indentation_of_the_file_is_followed():
    """Where services are indented by four spaces the new one is, too."""
    text = with_service('services:\n    web:\n        image: "x"\n', "nginx")
    assert list(parse(text)["services"]) == ["web", "nginx"]
    assert "\n    nginx:\n      image:" in text


def test_what_a_file_lacks_is_added():
    """Without `services`, with an empty `volumes`, with a document mark and the line endings of Windows."""
    text = with_service("---\r\nname: shop\r\nvolumes:\r\n", "redis")
    assert text.count("\n") == text.count("\r\n")
    compose = parse(text.replace("\r\n", "\n").removeprefix("---\n"))
    assert (list(compose["services"]), list(compose["volumes"])) == (["redis"], ["redis"])


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("services:\n  valkey:\n    image: mine\n", "the Compose file has `valkey` in `services` already", 2),
        ('services:\n  "valkey" : {}\n', "the Compose file has `valkey` in `services` already", 2),
        ("services:\n  a: {}\nvolumes:\n  b:\n  valkey:\n", "the Compose file has `valkey` in `volumes` already", 5),
    ],
)
def test_what_is_there_already_is_an_error(text, message, line):
    """A service or volume of the same name stays as it is."""
    with pytest.raises(AlreadyExists, match=message) as error:
        with_service(text, "valkey")
    assert error.value.place == f"compose.yaml:{line}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("services: {}\n", 1),
        ("services: &all\n  a: {}\n", 1),
        ("services:\n  a: {}\nservices:\n  b: {}\n", 3),
        ("{services: {}}\n", 1),
        ("services:\n\ta: {}\n", 2),
        ("services:\n  a: {}\n---\nservices:\n  b: {}\n", 3),
        ("services:\n  <<: *all\n  ? a\n  : {}\nx\n", 5),
        ("services:\n  *all : {}\n", 2),
    ],
)
def test_a_layout_that_cannot_be_edited_is_refused(text, line):
    """Braces, anchors, tabs and several documents are left to a person; the error names the line."""
    with pytest.raises(NotEditable, match="laid out in a way that Esker cannot edit") as error:
        with_service(text, "valkey")
    path, number = error.value.place.split(":")
    assert (path, int(number) <= line) == ("compose.yaml", True)


def test_a_manifest_that_lists_names_is_refused():
    """A list cannot have a table for one of its services."""
    before = EMPTY + '[plugins.esker.compose]\nfile = "c.yml"\nservices = ["web"]\n'
    with pytest.raises(NotEditable, match="is a list, so that a service can have no table"):
        check_tables(before)
    check_tables(EMPTY)
    check_tables(with_preset(EMPTY, preset("valkey"), "container").text)


def test_the_file_that_a_manifest_names():
    """The manifest's own Compose file is the one; without it, Compose finds one."""
    before = EMPTY + '[plugins.esker.compose]\nfile = "c.yml"\n'
    assert compose_file(before) == "c.yml"
    assert compose_file(EMPTY) is None


def test_a_container_that_is_declared_already_is_an_error():
    """The second time the error names the table, or the variable of a server that is no container."""
    once = with_preset(EMPTY, preset("postgres"), "container").text
    with pytest.raises(AlreadyExists, match="the manifest has a service `postgres` already"):
        with_preset(once, preset("postgres"), "container")
    with pytest.raises(AlreadyExists, match="the manifest has a service `postgres` already"):
        with_preset(once, preset("postgres"), "wheel")
    with pytest.raises(AlreadyExists, match="the manifest sets `DATABASE_URL` already"):
        with_preset(once, preset("mariadb"), "container")
