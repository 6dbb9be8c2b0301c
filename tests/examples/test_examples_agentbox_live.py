"""`examples/agentbox`, built and run: three images of one environment, whose services start and whose tools run."""

from __future__ import annotations

import json
import os

import pytest

from tests.examples.test_examples_agentbox import RECORD
from tests.support import agentbox
from tests.support.example_images import ExampleImages, healthy

pytestmark = [
    pytest.mark.live("images"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a container engine"),
]

FETCH = "import sys, urllib.request as u; print(u.urlopen('http://127.0.0.1:9090/' + sys.argv[1]).read().decode())"
GREET = (
    "import os, socket\n"
    "with socket.create_connection(('127.0.0.1', 5901)) as vnc:\n"
    "    print(vnc.recv(12).decode().strip(), os.environ['DISPLAY'])\n"
)
"""Ask the VNC server for its greeting."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Give a repository with the example, whose three environments are locked."""
    from tests.support.conda_channel import CondaChannel

    with CondaChannel(agentbox.channel_packages()) as channel:
        directory = tmp_path_factory.mktemp("agentbox")
        made = ExampleImages(directory, channel, agentbox.DESKTOP)
        example = made.copy("agentbox", agentbox.agents(directory / "agents"), agentbox.HEAVY)
        for variant in ("full", "desktop"):
            agentbox.take_browser_out(example / variant, directory / "agents")
        agentbox.add_xkbcomp(example / "desktop")
        for variant in ("", "/full", "/desktop"):
            made.esker("lock", "-d", f"examples/agentbox{variant}")
        yield made


@pytest.fixture
def run(images, docker_engine):
    """Give a function that loads the image of a variant, and starts a container of it."""

    def started(variant, name, *options):
        images.esker(
            "containerize", "-d", f"examples/agentbox{variant}", "--runtime", "docker", **docker_engine.variables
        )
        container = docker_engine.docker("run", "--detach", "--health-interval=500ms", *options, name).strip()
        healthy(docker_engine, container)
        return lambda *words: docker_engine.docker("exec", container, *words).strip()

    return started


def layers(images, variant):
    """Build a variant, and return its layers with their packages."""
    [built] = json.loads(images.esker("image", "build", "--json", "-d", f"examples/agentbox{variant}"))["images"]
    return built["layers"]


def test_runtime(images, run):
    """The record's layers in its order; without a network all services are ready, agents are there, and tools run."""
    names = [layer["name"] for layer in layers(images, "")]
    assert names[: len(RECORD) + 1] == [*RECORD, "agents"]
    box = run("", "agentbox-runtime:latest", "--network=none")
    assert json.loads(box("python", "-c", FETCH, "ready")) == {"status": "ready"}
    found = json.loads(box("python", "-c", FETCH, "health"))["found"]
    assert found["agents"] == len(agentbox.AGENTS)
    assert found["git"].startswith("git version")
    assert box("tsc", "--version").startswith("Version 5.")
    assert box("pnpm", "--version") == "10.0.0"
    assert box("agent-browser", "--version").startswith("agent-browser 0.41")
    assert box("python", "-c", "import numpy, lxml, anthropic; print(numpy.arange(3).sum())") == "3"
    assert box("bash", "-c", "echo $RUVECTOR_DATA_DIR $RUVECTOR_PORT $AGENTS_DIR $WORKSPACE $PWD; id -un") == (
        "/var/lib/ruvector 9700 /home/devuser/agents /home/devuser/workspace /home/devuser/workspace\ndevuser"
    )
    box("bash", "-c", "touch $WORKSPACE/mine $RUVECTOR_DATA_DIR/mine $AGENTS_DIR/doc-planner.md")
    assert box("cat", "/proc/1/comm") == "esker-guardian"


def test_full(images):
    """One layer has all declared packages of conda, wheels and prepared things."""
    [everything, *rest] = layers(images, "/full")
    assert everything["name"] == "everything"
    assert "rust" not in {layer["name"] for layer in rest}


def test_desktop(images, run):
    """A display, a window manager on it, and VNC on loopback, which greets; and all that `runtime` starts."""
    assert [layer["name"] for layer in layers(images, "/desktop")][:5] == [
        "work",
        "build",
        "browser",
        "services",
        "vnc",
    ]
    box = run("/desktop", "agentbox-desktop:latest", "--network=none")
    assert box("python", "-c", GREET) == "RFB 003.008 :1"
    assert json.loads(box("python", "-c", FETCH, "ready")) == {"status": "ready"}
