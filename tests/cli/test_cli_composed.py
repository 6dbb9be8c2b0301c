"""An environment that includes others, whose lock Flox has made."""

from __future__ import annotations

import json
import sys

import pytest

SCHEMA = "1.14.0"
OWN = f"""\
schema-version = "{SCHEMA}"

[vars]
WHERE = "high"

[include]
environments = [{{ dir = "../low" }}]
"""
LOW = {
    "schema-version": SCHEMA,
    "vars": {"FROM_LOW": "$FLOX_ENV_PROJECT/low", "WHERE": "low"},
    "hook": {"on-activate": "export HOOKED=low-$WHERE\n"},
    "options": {},
    "services": {"waits": {"command": "sleep 1000"}},
}


def composed_lock(own=OWN, **merged):
    """Return the lock of an environment with the manifest `own` that includes LOW; `merged` replaces what it merges."""
    composer = {
        "schema-version": SCHEMA,
        "vars": {"WHERE": "high"},
        "options": {},
        "include": {"environments": [{"dir": "../low"}]},
    }
    if "[plugins" in own:
        composer["plugins"] = merged["plugins"]
    whole = {**LOW, "vars": {**LOW["vars"], "WHERE": "high"}, **merged}
    whole = {key: whole[key] for key in (*LOW, "plugins") if key in whole}
    layer = {"manifest": LOW, "name": "low", "descriptor": {"dir": "../low"}}
    warning = {"warning": {"Overriding": ["vars", "WHERE"]}, "higher_priority_name": "Current manifest"}
    compose = {"composer": composer, "include": [layer], "warnings": [warning]}
    lock = {"lockfile-version": 1, "manifest": whole, "packages": [], "compose": compose}
    return json.dumps(lock, indent=2) + "\n"


@pytest.fixture
def composed(project):
    """Give the directory of an environment that includes another, locked by Flox."""
    directory = project(OWN)
    (directory / ".flox/env/manifest.lock").write_text(composed_lock())
    return directory


def test_a_composed_environment_whose_lock_is_current_is_activated(esker, composed):
    """The variables and the hook of all layers count, the higher layer first; the lock stays as Flox wrote it."""
    done = esker("activate", "--", "sh", "-c", 'echo "$WHERE $FROM_LOW $HOOKED"')
    assert (done.out, done.err, done.status) == (f"high {composed}/low low-high\n", "", 0)
    assert (composed / ".flox/env/manifest.lock").read_text() == composed_lock()


def test_lock_and_its_check_agree_on_a_composed_environment(esker, composed):
    """A current lock is up to date for both. A stale one is made again from what it has recorded of the other layers."""
    assert esker("lock", "--check").status == 0
    assert esker("lock").err == "✔ The lock is up to date.\n"
    assert esker("list").status == 0
    manifest = composed / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace("high", "higher"))
    check = esker("lock", "--check")
    assert check.status == 1
    assert "`vars.WHERE` was changed" in check.err
    refused = esker("activate", "--locked", "--", "true")
    assert (refused.status, "`vars.WHERE` was changed" in refused.err) == (1, True)
    assert "Locked .flox/env/manifest.lock" in esker("lock").err
    assert (composed / ".flox/env/manifest.lock").read_text() == composed_lock().replace('"high"', '"higher"')


def test_the_services_of_an_included_environment_run(esker, composed):
    """They are services of the composed environment: started, shown and stopped."""
    status = (sys.executable, "-m", "esker", "services", "status", "--json")
    done = esker("activate", "-s", "--", *status)
    assert done.status == 0, done.err
    assert [service["status"] for service in json.loads(done.out)] == ["Running"]
    assert "the services here are `waits`" in esker("services", "start", "wait").err


PYTHON = {"esker": {"python": {"dependencies": ["app"]}}}


def with_plugins_below(plugins, project):
    """Write the layer that declares these plugins, and return the lock of the environment that includes it."""
    low = {**LOW, "plugins": plugins}
    directory = project(f'schema-version = "{SCHEMA}"\n', name="low")
    own = {"lockfile-version": 1, "manifest": low, "packages": []}
    (directory / ".flox/env/manifest.lock").write_text(json.dumps(own, indent=2) + "\n")
    lock = json.loads(composed_lock(plugins=plugins))
    lock["compose"]["include"][0]["manifest"] = low
    return json.dumps(lock, indent=2) + "\n"


def test_the_wheels_of_an_included_environment_are_installed(esker, project, composed, served):
    """`[plugins.esker.python]` of a layer counts too; Esker adds its own lock, and leaves Flox's as it is."""
    text = with_plugins_below(PYTHON, project)
    (composed / ".flox/env/manifest.lock").write_text(text)
    check = esker("lock", "--check")
    assert "pylock.toml: not made yet" in check.err
    assert esker("activate", "--", "app").out == "app runs\n"
    assert (composed / ".flox/env/manifest.lock").read_text() == text
    assert esker("lock", "--check").status == 0
    manifest = composed / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace("high", "higher"))
    stale = esker("lock", "--check").err
    assert ("`vars.WHERE` was changed" in stale, "pylock.toml" in stale) == (True, False)
    assert "app: pypi/app (1.0)" in esker("list").out


def test_a_layer_that_changed_is_named_until_its_changes_are_taken(esker, project, composed, served):
    """Flox goes on with what the lock has recorded; of what Esker reads of the layer itself, that would be a guess."""
    (composed / ".flox/env/manifest.lock").write_text(with_plugins_below(PYTHON, project))
    assert esker("activate", "--", "app").out == "app runs\n"
    low = composed.parent / "low"
    manifest = f'schema-version = "{SCHEMA}"\n[plugins.esker.python]\ndependencies = ["tool"]\n'
    (low / ".flox/env/manifest.toml").write_text(manifest)
    assert esker("activate", "--", "app").out == "app runs\n"  # only a locked manifest counts
    assert esker("lock", "-d", low).status == 0
    for command in (
        ["activate", "--", "true"],
        ["activate", "--locked", "--", "true"],
        ["activate", "--json"],
        ["lock"],
        ["image", "build"],
        ["image", "build", "--locked"],
    ):
        done = esker(*command)
        assert done.status == 1, command
        assert "code: stale-include" in done.err
        assert f"hint: take its changes: esker include upgrade low -d {composed}" in done.err
    for command in (["list"], ["services", "status"], ["services", "stop"], ["list", "-c"]):
        assert "stale-include" not in esker(*command).err, command
    upgraded = esker("include", "upgrade")
    assert "✔ Upgraded 'project' with latest changes to:\n- 'low'\n" in upgraded.err
    assert esker("activate", "--", "tool").out == "tool runs\n"


def test_the_wheels_of_a_composing_manifest_are_locked_again(esker, project, served):
    """A change of what only Esker reads needs no composing."""
    own = OWN + '\n[plugins.esker.python]\ndependencies = ["app"]\n'
    directory = project(own)
    text = composed_lock(own, plugins=PYTHON)
    (directory / ".flox/env/manifest.lock").write_text(text)
    assert "Locked .flox/pylock.toml" in esker("lock").err
    assert esker("activate", "--locked", "--", "app").out == "app runs\n"
    assert esker("lock", "--upgrade").status == 0
    assert (directory / ".flox/env/manifest.lock").read_text() == text


def test_a_mistake_in_what_was_merged_names_the_lock(esker, project, composed):
    """A table of Esker's that came with another environment is checked as the manifest's own."""
    text = with_plugins_below({"esker": {"services": {"wait": {"type": "oneshot"}}}}, project)
    (composed / ".flox/env/manifest.lock").write_text(text)
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert "manifest.lock" in done.err
    assert "[services] has no service `wait`" in done.err
