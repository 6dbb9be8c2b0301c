"""`examples/traveling` is declared three times, and each time the same: variables, aliases, packages, revisions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

from esker.declare.load import load
from tests.support.traveling import EXAMPLE, copy

MANIFEST = tomllib.loads((EXAMPLE / ".flox/env/manifest.toml").read_text())
FLAKE = (EXAMPLE / "flake.nix").read_text()
ENTERING = {
    "flox": f"FLOX_ENV_PROJECT=$PWD\n{MANIFEST['hook']['on-activate']}\n{MANIFEST['profile']['bash']}",
    "nix": re.search(r"shellHook = ''\n(.*?)^ *'';", FLAKE, re.DOTALL | re.MULTILINE)[1].replace("''${", "${"),
    "guix": "source ./setup-env.sh",
}
"""What each declaration has bash do when somebody enters."""
DEFAULTS = {
    "PSQL_HOST": "localhost",
    "PSQL_PORT": "5432",
    "PSQL_USER": "postgres",
    "PSQL_PASSWORD": "postgres",
    "PSQL_DATABASE": "traveling_rails_poc_development",
    "DATABASE_URL": "postgres://postgres:postgres@localhost:5432/traveling_rails_poc_development",
    "PGHOST": "localhost",
    "PGPORT": "5432",
    "PGUSER": "postgres",
    "PGPASSWORD": "postgres",
}
SCRIPTS = {
    "dbup": "db-up",
    "dbdown": "db-down",
    "dbreset": "db-reset",
    "dev": "dev",
    "tests": "test",
    "build-image": "build-image",
}
ALIASES = {
    "be": "bundle exec",
    "rs": "bundle exec rails server -b 0.0.0.0",
    "rc": "bundle exec rails console",
    **{alias: f"$TRAVELING_ROOT/scripts/{script}" for alias, script in SCRIPTS.items()},
}


@pytest.fixture
def project(tmp_path):
    """Give a copy of the example."""
    return copy(tmp_path)


def bash(project, text, **variables):
    """Return what a bash in the project prints; programs stand in for `bundle`, `docker` and others if a test has some."""
    programs = project / "stand-ins"
    programs.mkdir(exist_ok=True)
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(project)} | variables
    command = ["bash", "--noprofile", "--norc", "-c", text]
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, check=True).stdout


def stands_in(project, name, script):
    """Write a program that takes the place of another one."""
    (project / "stand-ins").mkdir(exist_ok=True)
    (project / "stand-ins" / name).write_text(f"#!/bin/sh\n{script}\n")
    (project / "stand-ins" / name).chmod(0o755)


def variables_of(project, how, **variables):
    """Return the variables that entering sets."""
    before = bash(project, "env -0", **variables)
    after = bash(project, f"{ENTERING[how]}\nenv -0", **variables)
    lines = [dict(line.split("=", 1) for line in text.split("\0") if line) for text in (before, after)]
    return {name: value for name, value in lines[1].items() if lines[0].get(name) != value and name != "_"}


@pytest.mark.parametrize("how", ENTERING)
def test_the_variables(project, how):
    """Defaults of the database, and places of the gems within the project."""
    root = str(project)
    path = f"{root}/bin:{root}/vendor/bundle/bin:{root}/vendor/gems/bin:{root}/stand-ins:{os.environ['PATH']}"
    found = variables_of(project, how)
    found.pop("FLOX_ENV_PROJECT", None)
    assert found == DEFAULTS | {
        "TRAVELING_ROOT": root,
        "BUNDLE_PATH": f"{root}/vendor/bundle",
        "BUNDLE_BIN": f"{root}/vendor/bundle/bin",
        "GEM_HOME": f"{root}/vendor/gems",
        "PATH": path,
    }


@pytest.mark.parametrize("how", ENTERING)
def test_the_caller_overrides_defaults(project, how):
    """Everything that is made from the variable follows; libpq's variables too."""
    found = variables_of(project, how, PSQL_HOST="10.0.1.5", PSQL_PORT="6000", PSQL_DATABASE="shop")
    assert found["DATABASE_URL"] == "postgres://postgres:postgres@10.0.1.5:6000/shop"
    assert (found["PGHOST"], found["PGPORT"]) == ("10.0.1.5", "6000")
    assert not found.keys() & {"PSQL_HOST", "PSQL_PORT", "PSQL_DATABASE"}


@pytest.mark.slow
def test_the_caller_of_esker_overrides_defaults(project, tmp_path):
    """`PSQL_HOST=… esker activate` has the database elsewhere, as the guide says; without it, it is here."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ESKER_STORE": str(tmp_path / "store")}
    command = [sys.executable, "-m", "esker", "activate", "--without-packages", "--", "sh", "-c", "echo $DATABASE_URL"]
    for variables, place in (({"PSQL_HOST": "10.0.1.5"}, "10.0.1.5:5432"), ({}, "localhost:5432")):
        done = subprocess.run(
            command,
            cwd=project,
            env=environ | variables,
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.stdout == f"postgres://postgres:postgres@{place}/traveling_rails_poc_development\n"


@pytest.mark.parametrize("how", ENTERING)
def test_the_aliases(project, how):
    """Nine of them, whatever the current directory is later; no banner where no terminal is."""
    names = [line.removeprefix("alias ") for line in bash(project, f"{ENTERING[how]}\nalias").splitlines()]
    assert {name: text.strip("'") for name, _, text in (line.partition("=") for line in names)} == ALIASES


@pytest.mark.parametrize("how", ENTERING)
def test_the_function(project, how):
    """After an installation the programs of the gems are made; otherwise `bundle` is what it was, with its status."""
    stands_in(project, "bundle", 'echo "bundle $*"; test "$1" != fail')
    lines = ("bundle", "bundle install --jobs 2", "bundle exec rails", "bundle fail || echo failed")
    assert bash(project, "\n".join([ENTERING[how], *lines])).splitlines() == [
        "bundle ",
        "bundle binstubs --all",
        "bundle install --jobs 2",
        "bundle binstubs --all",
        "bundle exec rails",
        "bundle fail",
        "failed",
    ]


@pytest.mark.parametrize(("name", "status"), [("docker", 1), ("bundle", 3)])
def test_a_failure_is_passed_on(project, name, status):
    """A script ends with the status of the command that failed."""
    stands_in(project, "docker", "exit 0")
    stands_in(project, "bundle", "exit 0")
    stands_in(project, name, f"exit {status}")
    assert bash(project, "scripts/db-reset >/dev/null || echo $?") == f"{status}\n"


def test_scripts_work_from_everywhere(project):
    """They go to the project's directory, where the Compose file is."""
    stands_in(project, "docker", 'pwd; echo "docker $*"')
    assert bash(project, f"cd / && {project}/scripts/db-down").splitlines()[:2] == [str(project), "docker compose down"]


@pytest.mark.parametrize(
    ("variables", "image"),
    [({}, "traveling-rails-poc:latest"), ({"IMAGE_NAME": "shop", "IMAGE_TAG": "2"}, "shop:2")],
)
def test_the_image_has_a_name(project, variables, image):
    """The defaults, or what the caller says."""
    stands_in(project, "docker", 'echo "docker $*"')
    assert bash(project, "scripts/build-image", **variables).splitlines()[0] == f"docker build --tag {image} ."


def test_the_banner_without_gum(project):
    """It names Ruby's version, the database and the scripts."""
    stands_in(project, "ruby", 'printf "3.4.8"')
    path = f"{project}/stand-ins:/usr/bin:/bin"
    banner = bash(project, "scripts/banner", PATH=path, PSQL_PORT="6000")
    assert "Ruby 3.4.8\n" in banner
    assert "Database: localhost:6000\n" in banner
    assert all(alias in banner for alias in ALIASES)


def test_the_banner_with_gum(project):
    """Gum gets the same lines."""
    stands_in(project, "ruby", 'printf "3.4.8"')
    stands_in(project, "gum", 'shift; printf "<%s>\\n" "$@"')
    banner = bash(project, "scripts/banner")
    assert "<Ruby 3.4.8>\n" in banner
    assert "<Database: localhost:5432>\n" in banner


def test_the_packages():
    """Flox and Nix have the same, by the same names."""
    flox = {package["pkg-path"] for package in MANIFEST["install"].values()}
    assert flox == set(re.findall(r"\bpkgs\.([\w-]+)", FLAKE)) - {"mkShell", "stdenv"}


def test_the_revision():
    """The flake is locked to the revision that it names."""
    (revision,) = re.findall(r"github:flox/nixpkgs/([0-9a-f]{40})", FLAKE)
    locked = json.loads((EXAMPLE / "flake.lock").read_text())["nodes"]["nixpkgs"]
    assert locked["locked"]["rev"] == locked["original"]["rev"] == revision


def test_the_services():
    """The database is a container, and can be a process of this machine."""
    declaration = load(str(EXAMPLE))
    assert declaration.esker.compose.chosen == ("postgres",)
    assert declaration.esker.compose.services_from == "compose"
    assert [*declaration.services_for("x86_64-linux")] == ["postgres"]
