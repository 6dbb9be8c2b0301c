"""`examples/items` as images: the API alone beside servers of its own, and all of it in one container."""

from __future__ import annotations

import json
import os
import tomllib

import pytest

from tests.support.example_images import EXAMPLES, ExampleImages, healthy

PLACE = "examples/items/images"
ITEM = '{"item": {"name": "demo"}}'
PLACES = ("PGHOST=127.0.0.1", "PGUSER=items", "PGDATABASE=items", "PGPASSWORD=secret")
REQUEST = (
    "import sys, urllib.request as u;"
    "r = u.Request('http://127.0.0.1:8000/items', (sys.argv[1:] or [None])[0] and sys.argv[1].encode());"
    "print(u.urlopen(r).read().decode())"
)


def declared(path):
    """Return the Python packages that an environment declares."""
    return tomllib.loads((EXAMPLES / path / ".flox/env/manifest.toml").read_text())["plugins"]["esker"]["python"]


def test_the_image_of_the_api_has_what_the_api_declares():
    """Its list is the first part of the laptop's, which goes on with servers and tests."""
    own, all_of_them = (declared(path)["dependencies"] for path in ("items/images/api", "items"))
    assert own == all_of_them[: len(own)]
    assert declared("items/images/api")["version"] == declared("items")["version"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Give a repository with the example, whose images are locked."""
    from tests.support.conda_channel import CondaChannel
    from tests.support.conda_debian import debian_packages
    from tests.support.conda_sysroot import sysroot_packages

    with CondaChannel([*debian_packages(), *sysroot_packages()]) as channel:
        made = ExampleImages(tmp_path_factory.mktemp("items"), channel)
        made.copy("items")
        for name in ("api", "all"):
            made.esker("lock", "-d", f"{PLACE}/{name}")
        yield made


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(request):
    """Give each engine, one after the other."""
    if request.param == "docker":
        shared = request.getfixturevalue("_one_docker_engine")
        yield shared
        shared.clear()
        return
    from tests.support.containers.podman import PodmanEngine

    with PodmanEngine() as podman:
        yield podman


def loaded(images, engine, name):
    """Have the engine load an image of the example."""
    runtime = "docker" if engine.__class__.__name__ == "DockerEngine" else "podman"
    images.esker("containerize", "-d", f"{PLACE}/{name}", "--runtime", runtime, **engine.variables)


def request(engine, name, *body):
    """Ask the API of a container for its items, or give it one."""
    return json.loads(engine.docker("exec", name, "python", "-c", REQUEST, *body))


@pytest.mark.live("images")
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a container engine")
def test_the_api_alone(images, engine):
    """Beside a PostgreSQL and a Valkey in containers it goes healthy, and keeps items; it holds no server itself."""
    loaded(images, engine, "api")
    password = "POSTGRES_PASSWORD=secret"
    database = engine.docker(
        "run", "--detach", "--env", password, "--env", "POSTGRES_USER=items", "postgres:17"
    ).strip()
    network = f"--network=container:{database}"
    cache = engine.docker("run", "--detach", network, "valkey/valkey:8").strip()
    places = [word for place in PLACES for word in ("--env", place)]
    before = ["run", network, "--read-only", *places]
    for _ in range(100):
        if "ready" in engine.docker("exec", database, "pg_isready", "--host", "127.0.0.1", check=False):
            break
    engine.docker(*before, "--rm", "items-api:latest", "python", "-m", "items.migrate", "--create")
    api = engine.docker(*before, "--detach", "items-api:latest").strip()
    healthy(engine, api)
    assert request(engine, api, ITEM)["name"] == "demo"
    assert [each["name"] for each in request(engine, api)] == ["demo"]
    found = engine.docker("exec", api, "python", "-c", "import shutil; print(shutil.which('postgres'))")
    assert found.strip() == "None"
    for container in (api, cache, database):
        engine.docker("rm", "--force", "--volumes", container)


@pytest.mark.live("images")
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a container engine")
def test_all_in_one_container(images, engine):
    """All five services are ready; items are still there after the container has been replaced by another."""
    loaded(images, engine, "all")
    for expected in ([], ["demo"]):
        name = engine.docker("run", "--detach", "--volume", "items-data:/data", "items-all:latest").strip()
        healthy(engine, name)
        assert [each["name"] for each in request(engine, name)] == expected
        if not expected:
            assert request(engine, name, ITEM)["name"] == "demo"
        engine.docker("stop", "--time", "20", name)
        assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"
        engine.docker("rm", name)
