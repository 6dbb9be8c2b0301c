"""What is kept of a Compose project and used without asking Compose, and which of two declarations of a service counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from esker.activate import plan as plans
from esker.activate.compose.exports import compose_exports
from esker.activate.compose.project import compose_project, kept_path, last_project, services_from
from esker.declare.load import load
from esker.errors import NoEngine, NotTrusted, ServiceError
from esker.settings import Settings
from tests.support.containers.absent import ENGINE_DOWN, READS, write_docker
from tests.support.projects import EMPTY, write_project

WEB = {"name": "web", "ports": [{"target": 80, "published": "18080"}]}
NO_DOCKER = {"PATH": "/nowhere"}
BOTH_WAYS = '[services.db]\ncommand = "db"\n[plugins.esker.compose]\nservices = ["db"]\nservices-from = "supervised"\n'
EVERY = BOTH_WAYS.replace('services = ["db"]\n', "")
SUPERVISED = {"ESKER_SERVICES_FROM": "supervised"}
COMPOSE = {"ESKER_SERVICES_FROM": "compose"}


@pytest.fixture
def kept(tmp_path):
    """Give a function that writes what is kept of a project, as if its files had these paths below the checkout."""

    def written(*paths):
        project = write_project(tmp_path / "shop")
        directory = project / ".flox/cache/esker"
        directory.mkdir(parents=True)
        record = {"version": 2, "inputs": "", "name": "shop", "own_name": "shop", "is_named": True}
        files = [f"{project}/{path}" for path in paths]
        more = {"services": {"web": WEB}, "hashes": {"web": ["a"]}, "files": files}
        (directory / "compose.json").write_text(json.dumps(record | more))
        return str(project)

    return written


def test_the_last_description(kept):
    """Name, files and services are there, with the caller's variables."""
    project = kept("compose.yaml")
    found = last_project(project, f"{project}/.flox", {"A": "b"})
    assert (found.name, found.files, found.directory) == ("shop", (f"{project}/compose.yaml",), project)
    assert found.services["web"].ports[0].number == 18080
    assert found.variables == {"A": "b"}


@pytest.mark.parametrize("paths", [(), ("../other/compose.yaml",), ("compose.yaml", "../x.yaml")])
def test_another_checkout_is_not_reached(kept, paths):
    """What came with the checkout cannot name the containers of another."""
    project = kept(*paths)
    assert last_project(project, f"{project}/.flox", {}) is None


def test_nothing_is_kept(tmp_path):
    """Before Compose was ever asked there is no description."""
    project = write_project(tmp_path)
    assert last_project(str(project), f"{project}/.flox", {}) is None


@pytest.fixture
def declared(tmp_path):
    """Give a function that declares a project with a Compose file."""

    def written(manifest):
        directory = write_project(tmp_path / "p", EMPTY + manifest)
        (directory / "compose.yaml").write_text("services: {db: {image: postgres, ports: ['5432:5432']}}\n")
        return load(str(directory))

    return written


@pytest.mark.parametrize(
    ("manifest", "variables", "choice"),
    [
        (BOTH_WAYS, {}, "supervised"),
        (BOTH_WAYS, COMPOSE, "compose"),
        (EVERY.replace('services-from = "supervised"\n', ""), {}, None),
        (EVERY.replace('services-from = "supervised"\n', ""), SUPERVISED, "supervised"),
    ],
)
def test_who_chooses(declared, manifest, variables, choice):
    """The caller's word counts before the manifest's."""
    assert services_from(declared(manifest), Settings(variables)) == choice


def test_a_project_without_a_table_has_no_choice(declared):
    """Nothing is declared both ways there."""
    assert services_from(declared(""), Settings({})) is None


@pytest.mark.parametrize(
    ("manifest", "variables", "is_needed"),
    [
        (BOTH_WAYS, {}, False),
        (BOTH_WAYS, COMPOSE, True),
        (BOTH_WAYS.replace('"supervised"', '"compose"'), {}, True),
        (BOTH_WAYS.replace('"supervised"', '"compose"'), SUPERVISED, False),
        (BOTH_WAYS.replace('["db"]', '["db", "cache"]'), {}, True),
        (EVERY, {}, True),
        (BOTH_WAYS.replace('command = "db"', 'command = "db"\nsystems = ["other"]'), {}, True),
    ],
)
def test_compose_is_asked_only_if_it_is_needed(declared, manifest, variables, is_needed):
    """If every service that may come from it is a service of this machine by choice, nobody needs Docker."""
    declaration, environ = declared(manifest), NO_DOCKER | variables
    if is_needed:
        with pytest.raises(ServiceError, match="the command `docker` is not here"):
            compose_project(declaration, Settings(environ), environ)
    else:
        assert compose_project(declaration, Settings(environ), environ) is None


@pytest.mark.parametrize(
    ("manifest", "works"),
    [
        ('[plugins.esker.compose]\nservices = ["db"]\n', True),
        (BOTH_WAYS, True),
        ("[plugins.esker.compose.services.db]\nports = { PGPORT = 5432 }\n", False),
    ],
)
def test_an_activation_needs_docker_for_the_variables_of_ports(declared, tmp_path, manifest, works):
    """Without `docker` an environment can be activated, unless one of its variables would be missing."""
    project = declared(manifest).project
    command = [sys.executable, "-m", "esker", "activate", "-d", project, "--", "/bin/true"]
    environ = NO_DOCKER | {"HOME": str(tmp_path), "ESKER_STORE": str(tmp_path / "store")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is works, done.stderr
    told = "`PGPORT`, a port of the container `db`, cannot be known: the command `docker` is not here"
    assert (told in done.stderr) is not works
    assert ("to read the Compose files, no engine has to run" in done.stderr) is not works


PGPORT = "[plugins.esker.compose.services.db]\nports = { PGPORT = 5432 }\n"


def exports(declaration, path, tmp_path):
    """Return what an activation gets from the Compose files, for a caller with this PATH."""
    return compose_exports(declaration, Settings({"PATH": path, "HOME": str(tmp_path)}))


def test_a_port_is_the_same_with_and_without_an_engine(declared, tmp_path):
    """Compose chooses none of them, so it does not matter for the port whether an engine runs, or Compose is there.

    When its files have changed, nobody can know it without Compose, and an activation says so.
    """
    declaration = declared(PGPORT)
    down, up = (write_docker(tmp_path / name, script) for name, script in (("d", ENGINE_DOWN), ("u", READS)))
    first = exports(declaration, down, tmp_path).variables
    assert first["PGPORT"].isdecimal()
    for path in (up, "/nowhere", down):
        assert exports(declaration, path, tmp_path).variables == first
    Path(declaration.project, "compose.yaml").write_text("services: {db: {image: another}}\n")
    with pytest.raises(NoEngine, match="`PGPORT`, a port of the container `db`, cannot be known: the command"):
        exports(declaration, "/nowhere", tmp_path)
    assert exports(declaration, down, tmp_path).variables == first


def test_what_is_wrong_with_the_files_is_told_as_it_is(declared, tmp_path):
    """A mistake in a Compose file is no missing engine."""
    path = write_docker(tmp_path / "bin", "echo 'yaml: line 1: did not find expected' >&2; exit 15")
    with pytest.raises(ServiceError, match=r"^Compose refuses the project's files: yaml: line 1") as caught:
        exports(declared(PGPORT), path, tmp_path)
    assert not isinstance(caught.value, NoEngine)


def test_an_activation_without_compose_is_made_again_with_it(declared, tmp_path):
    """The plan knows the file in which Compose's answer will be kept, and so the variables that were missing come."""
    declaration = declared('[plugins.esker.compose]\nservices = ["db"]\n')
    without = exports(declaration, "/nowhere", tmp_path)
    assert without.variables == {}
    assert (kept_path(declaration.dot_flox), None, None, None) in without.stats
    found = exports(declaration, write_docker(tmp_path / "bin", READS), tmp_path)
    assert found.variables["COMPOSE_PROJECT_NAME"] == "shop"
    assert plans.fingerprints([kept_path(declaration.dot_flox)])[0] not in without.stats


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("theirs", [".", ".flox", "compose.yaml"])
def test_compose_reads_nothing_of_a_stranger(declared, tmp_path, theirs):
    """Its files may name servers to ask, by addresses with variables of the caller's in them."""
    declaration = declared("[plugins.esker.compose]\n")
    environ = {
        "PATH": write_docker(tmp_path / "bin", f"touch {tmp_path}/asked\n{READS}"),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    os.chown(f"{declaration.project}/{theirs}", 4321, 4321)
    with pytest.raises(NotTrusted):
        compose_project(declaration, Settings(environ), environ)
    assert not (tmp_path / "asked").exists()
    trusting = Settings(environ, trusts_everything=True)
    found = compose_project(declaration, trusting, environ)
    assert found is not None
    assert "db" in found.services


ANSWERS = """#!/bin/sh
case "$*" in
    *--hash*) echo 'db 0123' ;;
    *config*) echo '{"name": "shop", "services": {"db": {"image": "postgres"}}}' ;;
esac
"""
"""What takes the place of `docker` where Compose is asked."""


@pytest.mark.slow
def test_another_choice_is_another_plan(declared, tmp_path):
    """An activation after one with the other choice has what its own choice gives."""
    project = declared(BOTH_WAYS.replace('"supervised"', '"compose"')).project
    (tmp_path / "docker").write_text(ANSWERS)
    (tmp_path / "docker").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "ESKER_STORE": str(tmp_path / "store")}
    ask = [sys.executable, "-m", "esker", "activate", "-d", project, "--", "sh", "-c", "echo $COMPOSE_PROJECT_NAME"]
    names = [
        subprocess.run(ask, env=environ | choice, capture_output=True, text=True, check=True).stdout.strip()
        for choice in (SUPERVISED, {})
    ]
    assert names == ["", "shop"]
