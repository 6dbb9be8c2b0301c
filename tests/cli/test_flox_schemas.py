"""Manifests of Flox's newer schemas, with both commands."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

NEWER = """\
schema-version = "1.17.0"
description = "a shop"
minimum-cli-version = "1.17.0"

[services]
job = { command = "sleep 0.2; echo job; exit 3" }

[services.web]
command = "trap 'echo asked; exit' INT; echo web; while :; do sleep 0.05; done"
depends-on.job.condition = "process_completed"
shutdown = { signal = 2, timeout-seconds = 5 }
"""


@pytest.fixture
def stopped(flox):
    """Stop the services of the project afterwards."""
    yield
    flox("services", "stop")


@pytest.mark.usefixtures("served")
def test_the_schema_that_was_read_is_written_back(flox, project):
    """Editing and installing keep the manifest's schema, in the lock too, and no newer Flox is asked for."""
    directory = project(NEWER)
    for arguments in (("edit", "-f", "-"), ("install", "pypi/tool")):
        done = flox(*arguments, stdin=f"{NEWER}# edited\n")
        assert done.status == 0
        assert "requires Flox" not in done.err
        assert (directory / ".flox/env/manifest.toml").read_text().startswith(f"{NEWER}# edited\n")
        manifest = json.loads((directory / ".flox/env/manifest.lock").read_text())["manifest"]
        assert list(manifest)[:3] == ["schema-version", "description", "minimum-cli-version"]
        assert manifest["schema-version"] == "1.17.0"


@pytest.mark.usefixtures("stopped")
def test_floxs_own_dependencies_and_signal_hold(esker, project):
    """A service starts after the one it waits for has ended, with any status, and is stopped by its own signal."""
    project(NEWER)
    assert esker("services", "start", "web").status == 0
    shown = {
        one["name"]: (one["status"], one["exit_code"]) for one in json.loads(esker("services", "status", "--json").out)
    }
    assert shown == {"job": ("Completed", 3), "web": ("Running", None)}
    assert esker("services", "stop").status == 0
    assert esker("services", "logs", "web").out == "web\nasked\n"


def test_a_cycle_of_services_matters_once_they_start(esker, flox, project):
    """Flox accepts the manifest, and the environment can be used; starting its services names the cycle."""
    text = 'schema-version = "1.16.0"\n[services]\n'
    depends = "depends-on.{}.condition = 'process_started'"
    text += "".join(f"{one} = {{ command = 'x', {depends.format(other)} }}\n" for one, other in ("ab", "ba"))
    project(text)
    assert esker("activate", "--", "echo", "in").out == "in\n"
    done = esker("services", "start", "a")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("✘ ERROR: services depend on each other in a cycle: `a -> b -> a`\nhint: remove one")
    itself = project(text.replace(depends.format("b"), depends.format("a")), name="itself")
    told = "✘ ERROR: services depend on each other in a cycle: `a -> a`\n"
    assert flox("services", "start", "-d", itself, "b") == (1, "", told)


def test_a_dependency_that_does_not_exist_is_told_in_floxs_words(flox, project):
    """A name that no service has is an error as soon as the manifest is read; nothing is changed."""
    directory = project()
    text = 'schema-version = "1.16.0"\n[services.web]\ncommand = "x"\ndepends-on.bd.condition = "process_started"\n'
    told = (
        "✘ ERROR: Failed to parse manifest:\n\n"
        "Service 'web' depends on service 'bd', which is not defined in this environment.\n"
        "Check the spelling of 'bd', or add a '[services.bd]' section.\n"
    )
    assert flox("edit", "-f", "-", stdin=text) == (1, "", told)
    assert "bd" not in (directory / ".flox/env/manifest.toml").read_text()


def test_a_schema_of_the_future_is_told(esker, flox, project):
    """Flox's own text, and in Esker's voice what can still be done; keys of that schema are no further mistakes."""
    directory = project()
    (directory / ".flox/env/manifest.toml").write_text('schema-version = "1.20.0"\nnew.key = 1\n')
    told = "✘ ERROR: Failed to parse manifest: manifest had invalid schema version '1.20.0'\n"
    assert flox("activate", "--", "true") == (1, "", told)
    done = esker("activate", "--", "true")
    assert "hint: schema 1.20.0 is newer than this Esker knows (up to 1.19.0): update Esker" in done.err
    assert flox("edit", "-f", "-", stdin=NEWER).status == 0


def test_a_group_of_packages_without_packages_is_told(flox, project):
    """The table has no effect, and is kept."""
    directory = project()
    text = 'schema-version = "1.19.0"\n[pkg-groups]\n"a b".stability = "lts"\n'
    told = (
        "! No package is in pkg-group '\"a b\"', so '[pkg-groups.\"a b\"]' has no effect.\n"
        "Check the pkg-group name with 'flox edit'.\n"
    )
    assert flox("edit", "-f", "-", stdin=text) == (0, "", f"{told}✔ Environment successfully updated.\n")
    manifest = json.loads((directory / ".flox/env/manifest.lock").read_text())["manifest"]
    assert manifest["pkg-groups"] == {"a b": {"stability": "lts"}}


def test_an_environment_that_a_newer_flox_has_made_has_an_id(flox, project):
    """Keys of env.json that are not ours are ignored, and kept when the environment is renamed."""
    directory = project()
    pointer = {"name": "project", "version": 1, "env_id": "b1a5c7f0-0000-4000-8000-000000000000"}
    (directory / ".flox/env.json").write_text(json.dumps(pointer))
    assert flox("activate", "--", "echo", "in").out == "in\n"
    assert flox("edit", "-n", "other").status == 0
    assert json.loads((directory / ".flox/env.json").read_text()) == {**pointer, "name": "other"}
