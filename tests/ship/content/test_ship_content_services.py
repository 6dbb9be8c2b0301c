"""An image that runs its services: what it gets for that, and when it is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from esker.cli.views.images import _why
from esker.errors import ImageError
from esker.ship.content.configuration import configuration_of
from esker.ship.content.services import HEALTH, RUN
from tests.ship.content.conftest import image_of
from tests.support.conda_package import SUBDIR, package

SYSTEM = {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR]
MINOR = ".".join(map(str, sys.version_info[:2]))
SERVICES = """
[vars]
URL = "http://127.0.0.1:$WEB_PORT"
OTHER = "$URL:$API_PORT"
PLAIN = "plain"
[services]
web.command = "serve"
api.command = "serve"
[plugins.esker.services]
web.ports = { WEB_PORT = 0, FIXED_PORT = 5000 }
api.ports = { API_PORT = 0 }
[plugins.esker.image]
services = true
"""


@pytest.fixture
def made(environ, project, store, channel):
    """Give a function that makes an image with services; its Python is this machine's."""
    script = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    channel.add(package("python", f"{MINOR}.0", {"bin/python": script, f"bin/python{MINOR}": script}))
    channel.add(package("bash", files={"bin/bash": "b"}))

    def image(more="", dependencies=("python", "bash"), services=SERVICES, **options):
        listed = ", ".join(f'"{each}"' for each in dependencies)
        text = (
            f'[options]\nsystems = ["{SYSTEM}"]\n[plugins.esker.conda]\nchannels = ["{channel.url}"]\n'
            f"dependencies = [{listed}]\n{services}{more}"
        )
        from esker.services.specification import specify  # as the command line does it

        def specified(declaration):
            return lambda system, ports: [asdict(each) for each in specify(declaration, system, ports).values()]

        return image_of(project, text, environ, store, specified=specified, **options)

    return image


def plan_of(image):
    [unit] = [unit for unit in image.units if unit.name == "esker/services-of-project"]
    [entry] = unit.entries()
    return json.loads(entry.source)


def test_what_the_services_get(made):
    """Ports are chosen for the container, and with what uses them they are the services' own, not the image's."""
    image = made('vars = { API_PORT = "8000" }\n')
    plan = plan_of(image)
    assert [each["name"] for each in plan["services"]] == ["api", "web"]
    assert plan["variables"] == {
        "API_PORT": "8000",
        "FIXED_PORT": "5000",
        "OTHER": "http://127.0.0.1:20001:8000",
        "URL": "http://127.0.0.1:20001",
        "WEB_PORT": "20001",
    }
    names = {each.name for each in image.variables.fixed}
    assert {each.name: each.value for each in image.variables.of_services} == plan["variables"]
    assert not image.variables.left_out
    told = [*_why(image)]
    assert "starts the services" in told
    assert "API_PORT=8000 for the services  (a port)" in told
    assert "PLAIN" in names
    assert not names & plan["variables"].keys()


def test_how_the_container_starts(made):
    """The guardian's program is the entry point, after the script if there is one; its check is the container's."""
    configuration = configuration_of(made(), {})
    assert (configuration.entrypoint, configuration.cmd) == ((RUN,), ())
    assert configuration.health_check.test == ("CMD", HEALTH)
    image = made("[hook]\non-activate = 'export A=1'\n")
    assert configuration_of(image, {}).entrypoint == ("/opt/esker/entry", RUN)
    own = made('healthcheck = { test = ["true"] }\n')
    assert configuration_of(own, {}).health_check.test == ("CMD", "true")


def test_esker_is_a_layer_of_its_own(made):
    """Its modules are in it, without byte code or anything of this machine, and the program names the image's Python."""
    [unit] = [unit for unit in made().units if unit.name == "esker/services"]
    assert unit.category == "esker"
    entries = {entry.path: entry for entry in unit.entries()}
    assert "/opt/esker/services/esker/services/supervised/guardian.py" in entries
    assert not [path for path in entries if path.endswith(".pyc")]
    assert entries[RUN].source.startswith(f"#!/opt/esker/conda/bin/python{MINOR} -ISB\n".encode())
    assert os.path.isfile(entries["/opt/esker/services/esker/errors.py"].source)


def test_no_signal_is_lost_before_the_services_are_there(made):
    """The container's first process keeps those that ask it to end, from before the modules are imported."""
    [unit] = [unit for unit in made().units if unit.name == "esker/services"]
    [script] = [entry.source.decode() for entry in unit.entries() if entry.path == RUN]
    first, importing, _ = script.partition("from esker")
    assert importing
    show = "import os, signal; os.kill(os.getpid(), signal.SIGTERM); print(sorted(signal.sigpending()), flush=True)"
    done = subprocess.run([sys.executable, "-c", f"{first}{show}"], capture_output=True, text=True, check=False)
    assert "SIGTERM" in done.stdout


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            'web.vars.DB_PASSWORD = "hunter2"',
            r"`DB_PASSWORD` of \[services\.web\.vars\] looks like a secret.*name says so",
        ),
        (f'web.vars.A = "ghp_{"a" * 36}"', r"`A` of \[services\.web\.vars\] .* the form of a token of GitHub"),
        (f'job.command = "push ghp_{"a" * 36}"', "the service `job` holds a token of GitHub"),
        (
            'job.command = "a"\njob.is-daemon = true\njob.shutdown.command = "stop http://me:hunter2@127.0.0.1"',
            "the service `job` holds a URL with a password",
        ),
    ],
)
def test_secrets_of_services(made, table, message):
    """Their variables and commands stand in a file of the image, so they are looked at as the image's own are."""
    with pytest.raises(ImageError, match=message) as caught:
        made(services=SERVICES.replace("[plugins.esker.services]", f"{table}\n[plugins.esker.services]"))
    assert caught.value.hint


def test_a_variable_of_a_service_that_is_taken_out(made):
    """The image's own table takes it from the services, so that the container's own value reaches them."""
    variables = 'web.vars = { DB_PASSWORD = "hunter2", KEPT = "a" }\n[plugins.esker.services]'
    image = made("vars = { DB_PASSWORD = false }\n", services=SERVICES.replace("[plugins.esker.services]", variables))
    assert [each["vars"] for each in plan_of(image)["services"]] == [{}, {"KEPT": "a"}]
    assert image.variables.unset == ()
    assert "DB_PASSWORD" in {each.name for each in image.variables.left_out}


def test_a_secret_of_a_health_check(made):
    """A service's check stands in the same file."""
    check = 'web.healthcheck.test = ["curl", "http://me:hunter2@127.0.0.1"]\n'
    with pytest.raises(ImageError, match="the service `web` holds a URL with a password"):
        made(services=SERVICES.replace("[plugins.esker.image]", f"{check}[plugins.esker.image]"))
    assert made(services=SERVICES.replace("web.command", 'web.vars.DB_PASSWORD = "$GIVEN"\nweb.command'))


@pytest.mark.parametrize(
    ("more", "dependencies", "message"),
    [
        ("", ("python",), "services are started by a shell, and the image has none"),
        (
            'vars = { WEB_PORT = "web" }\n',
            ("python", "bash"),
            r"`WEB_PORT` is a port of a service, .* sets it to `web`",
        ),
        ('vars = { WEB_PORT = "65536" }\n', ("python", "bash"), "sets it to `65536`"),
        ('vars = { WEB_PORT = "0" }\n', ("python", "bash"), "sets it to `0`"),
        ('vars = { WEB_PORT = "٣" }\n', ("python", "bash"), "sets it to `٣`"),
        ('[containerize.config]\ncmd = ["x"]\n', ("python", "bash"), "has a `cmd` too"),
    ],
)
def test_refusals(made, more, dependencies, message):
    """What cannot run is an error that says what to do."""
    with pytest.raises(ImageError, match=message) as caught:
        made(more, dependencies)
    assert caught.value.hint


def test_a_python_that_is_too_old(made, channel):
    """Esker's modules need 3.11."""
    channel.add(package("python", "3.9.0", {"bin/python": "x", "bin/python3.9": "x"}))
    with pytest.raises(ImageError, match=r"which is 3\.9\.0, and needs 3\.11 or later"):
        made("byte-code = false\n", ("python 3.9.*", "bash"))
