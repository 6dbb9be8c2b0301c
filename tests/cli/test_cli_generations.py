"""Generations: an environment as it was at an earlier time, activated once or made live again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from esker.cli.commands.generations import _tree
from esker.host.uv import run_uv
from esker.settings import Settings
from esker.store.registration import Generation, Registration
from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import package as conda_package

pytestmark = pytest.mark.slow

FIRST = """\
schema-version = "1.14.0"
[vars]
GREETING = "hello"
[hook]
on-activate = 'export FROM_HOOK="$GREETING from the hook"'
[profile]
bash = 'alias_of() { echo "the first profile"; }'
[services.web]
command = 'echo "the first service"; exec sleep 1000'
[plugins.esker.python]
dependencies = ["app"]
"""
SECOND = FIRST.replace("hello", "good day").replace("the first", "the second").replace('"app"', '"tool"')
SHOW = 'echo "$FROM_HOOK"; type app tool 2>/dev/null | cut -d" " -f1'
THEN, NOW = "hello from the hook\napp\n", "good day from the hook\ntool\n"
REFUSED = "Cannot modify environments that are activated with a specific generation"


@pytest.fixture
def two(esker, project, served):
    """Give a project with two generations, of which the second is live."""
    directory = project(FIRST)
    assert esker("activate", "--", "true").status == 0
    manifest(directory).write_text(SECOND)
    assert esker("activate", "--", "true").status == 0
    yield directory
    esker("services", "stop")


def manifest(directory):
    """Return the path of a project's manifest."""
    return directory / ".flox/env/manifest.toml"


def committed(directory):
    """Return the contents of the files that a project shares with others."""
    names = (".flox/env.json", ".flox/env/manifest.toml", ".flox/env/manifest.lock", ".flox/pylock.toml")
    return [(directory / name).read_bytes() for name in names]


def shown(esker, *options, command=SHOW):
    """Return what a shell in the environment sees."""
    done = esker("activate", *options, "--", "bash", "-c", command)
    assert done.status == 0, done.err
    return done.out


def test_an_activation_with_a_generation_is_that_of_then(esker, two):
    """It has the packages, variables and hook of then; nothing of the project's own files is touched."""
    before = committed(two)
    assert shown(esker) == NOW
    assert shown(esker, "--generation", "1") == shown(esker, "-g", "1", "-m", "run") == THEN
    assert shown(esker, "-g", "2") == shown(esker) == NOW
    assert committed(two) == before
    assert json.loads(shown(esker, "-g", "1", command='echo "$_FLOX_ACTIVE_ENVIRONMENTS"'))[0]["generation"] == 1
    run = shown(esker, "-g", "1", command='echo "$FLOX_ENV"').strip()
    assert run.startswith(f"{two}/.flox/run/")
    assert run.endswith("project.gen1-dev")


def test_what_begins_inside_a_generation_belongs_to_it(esker, two, environ):
    """Nested activations and Python's Environment have the same generation."""
    assert shown(esker, "-g", "1", command=f"'{sys.executable}' -m esker activate -- bash -c '{SHOW}'") == THEN
    code = "import esker; print(esker.Environment('.').variables()['FROM_HOOK'])"
    assert shown(esker, "-g", "1", command=f'"{sys.executable}" -c "{code}"') == "hello from the hook\n"


def test_in_place_a_generation_comes_and_goes(esker, two, environ):
    """In a real bash: the profile and the variables of then, and after `deactivate` nothing of them."""
    program = f'"{sys.executable}" -m esker'
    script = (
        f'eval "$({program} activate -g 1)"; alias_of; echo "$FROM_HOOK"; app\n'
        f'eval "$({program} deactivate)"; echo "${{FROM_HOOK-none}}"; type app 2>/dev/null\n'
        f'eval "$({program} activate)"; alias_of; tool'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=two, env=environ, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        *("the first profile", "hello from the hook", "app runs"),
        "none",
        *("the second profile", "tool runs"),
    ]


def test_the_services_are_those_of_then(esker, two):
    """With `-s` for the activation, and inside of it, the services of the generation are started."""
    logs = f"'{sys.executable}' -m esker services logs web"
    assert shown(esker, "-g", "1", "-s", command=logs) == "the first service\n"
    assert shown(esker, "-g", "1", command=f"'{sys.executable}' -m esker services start >&2; {logs}").endswith(
        "the first service\n"
    )
    esker("services", "stop")
    assert esker("generations", "switch", "1").status == 0
    assert esker("services", "start").status == 0
    assert esker("services", "logs", "web").out.splitlines()[-1] == "the first service"
    esker("services", "stop")
    assert esker("rollback").status == 0
    assert esker("services", "start").status == 0
    assert esker("services", "logs", "web").out.splitlines()[-1] == "the second service"


def test_a_generation_that_is_active_is_not_changed(esker, two):
    """Every command that changes the environment refuses, in Flox's words, and changes nothing."""
    before = committed(two), esker("generations", "list").out
    changing = (
        *("install pypi/tool", "uninstall pypi/app", "upgrade", "edit -n other", "lock"),
        *("rollback", "generations switch 2"),
    )
    for command in changing:
        done = esker("activate", "-g", "1", "--", sys.executable, "-m", "esker", *command.split())
        assert (done.status, done.out) == (1, "")
        assert done.err == (
            f"✘ ERROR: {REFUSED}\n"
            "hint: generation 1 is active here: leave it first (`exit`), or change it from another shell\n"
            "code: generation-active\n"
        )
    assert (committed(two), esker("generations", "list").out) == before


def test_python_does_not_change_a_generation_that_is_active_either(esker, two):
    """The class for Flox's users raises the same error."""
    before = committed(two)
    for call in ("install('pypi/tool')", "uninstall('pypi/app')", "lock()"):
        code = f"from esker.flox import Flox\nFlox('.').{call}"
        done = esker("activate", "-g", "1", "--", sys.executable, "-c", code)
        assert done.status == 1
        assert f"GenerationActive: {REFUSED}" in done.err
    assert committed(two) == before


def test_a_switch_makes_the_whole_generation_live_until_the_manifest_changes(esker, two):
    """Packages, variables and hook are those of then; the project's files stay; an edit ends it, a comment does not."""
    before = committed(two)
    assert esker("generations", "switch", "1") == (0, "", "✔ Switched to generation 1\n")
    assert committed(two) == before
    assert shown(esker) == shown(esker) == shown(esker, "-m", "run") == THEN
    manifest(two).write_text(f"# a comment\n{SECOND}")
    assert shown(esker) == THEN
    assert json.loads(esker("activate", "--json").out)["set"]["GREETING"] == "hello"
    manifest(two).write_text(SECOND.replace("good day", "good night"))
    assert shown(esker) == "good night from the hook\ntool\n"
    assert "`vars.GREETING` was changed" in esker("generations", "list").out.splitlines()[0]


def test_a_rollback_goes_to_what_was_live_before_and_back(esker, two):
    """Twice is once there and back, as in Flox; the short form is the same command."""
    for command, number, there in ((("rollback",), 1, THEN), (("generations", "rollback"), 2, NOW)):
        assert esker(*command) == (0, "", f"✔ Switched to generation {number}\n")
        assert shown(esker) == there


def test_the_list_and_the_history_say_what_changed(esker, two):
    """For people and as JSON, with Flox's keys; values of variables do not appear."""
    esker("rollback")
    newer, older = esker("generations", "list").out.splitlines()
    assert newer.startswith("    2  20")
    assert "  live until 20" in newer
    assert "- app 1.0, + tool 1.0, " in newer
    assert "`vars.GREETING` was changed" in newer
    assert "good day" not in newer
    assert older.startswith("*   1  20")
    assert older.endswith("  live now                     first generation")
    listed = json.loads(esker("generation", "list", "--json").out)
    assert list(listed) == ["1", "2"]
    assert listed["1"] | {"created": 0} == {
        "parent": None,
        "created": 0,
        "last_live": None,
        "description": "first generation",
    }
    assert listed["2"]["parent"] == 1
    assert listed["2"]["created"] <= listed["2"]["last_live"]
    latest = esker("generations", "history").out.splitlines()[0]
    assert latest[16:] == "    1  switched to, from generation 2"
    tree = esker("generations", "list", "--tree", "--no-pager").out.splitlines()
    assert tree[0] == "1 (live)  first generation"
    assert tree[1].startswith("└── 2  - app 1.0, + tool 1.0, ")
    assert esker("generations", "list", "-u").status == 2
    events = json.loads(esker("generations", "history", "--json").out)
    assert [each["kind"] for each in events] == ["initialize", "other", "switch_generation"]
    assert (events[2]["current_generation"], events[2]["previous_generation"]) == (1, 2)


def test_a_generation_that_is_not_there_is_named(esker, two, environ):
    """A number that never was, one that was collected, and one whose files were deleted: each with what to do."""
    done = esker("activate", "-g", "7", "--", "true")
    assert done.status == 1
    assert "ERROR: environment 'project' has no generation 7\nhint: choose one that is kept: 1, 2\n" in done.err
    assert "no generation 7" in esker("generations", "switch", "7").err
    assert esker("activate", "-g", "x", "--", "true").status == 2
    assert "hint: generations have numbers" in esker("activate", "-g", "x", "--", "true").err
    assert esker("store", "gc", "--keep", "1").status == 0
    done = esker("activate", "--generation", "1", "--", "true")
    assert "ERROR: environment 'project' has no generation 1\nhint: choose one that is kept: 2\n" in done.err
    assert "has no earlier generation" in esker("rollback").err
    [kept] = Path(environ["ESKER_STORE"]).glob("store/*-project-generation")
    subprocess.run(["chmod", "-R", "u+w", kept], check=True)
    shutil.rmtree(kept)
    done = esker("activate", "-g", "2", "--", "true")
    assert done.status == 1
    assert f"generation 2 of environment 'project' is not whole any more: `{kept}` was deleted\n" in done.err
    assert "hint: choose another one: esker generations list\n" in done.err


def test_a_generation_whose_files_were_altered(esker, two, environ):
    """Its env.json is not needed, because the project knows the name; a manifest that is gone is named."""
    for kept in Path(environ["ESKER_STORE"]).glob("store/*-project-generation"):
        subprocess.run(["chmod", "-R", "u+w", kept], check=True)
        (kept / ".flox/env.json").write_text("{")
    assert esker("activate", "-g", "1", "--", "true").status == 0
    for kept in Path(environ["ESKER_STORE"]).glob("store/*-project-generation"):
        (kept / ".flox/env.json").unlink()
    assert esker("generations", "switch", "1").status == 0
    assert esker("activate", "--", "true").status == 0
    for kept in Path(environ["ESKER_STORE"]).glob("store/*-project-generation"):
        (kept / ".flox/env/manifest.toml").unlink()
    done = esker("activate", "-g", "2", "--", "true")
    assert done.status == 1
    assert "generation 2 of environment 'project' is not whole any more: " in done.err
    assert "hint: choose another one: esker generations list\n" in done.err


def test_a_project_without_generations_says_how_they_come(esker, project):
    """Nothing was activated yet."""
    project(FIRST)
    assert esker("generations", "list").err == (
        "! There are no generations yet: the first activation or installation makes one ('esker activate').\n"
    )
    assert json.loads(esker("generations", "list", "--json").out) == {}
    assert json.loads(esker("generations", "history", "--json").out) == []
    assert "hint: the first activation makes one: esker activate" in esker("activate", "-g", "1", "--", "true").err
    assert esker("generations", "lst").status == 2
    assert "did you mean `esker generations list`?" in esker("generations", "lst").err
    assert "name a generation with: esker generations switch 3" in esker("rollback", "3").err


def test_a_collection_keeps_what_runs_in_an_old_generation(esker, two):
    """While a process uses a generation its packages stay, whatever `--keep` says."""
    gc = f"'{sys.executable}' -m esker store gc --keep 1 >&2; app"
    assert shown(esker, "-g", "1", command=gc) == "app runs\n"
    assert esker("activate", "-g", "1", "--", "true").status == 1
    assert esker("store", "gc", "--keep", "1").status == 0
    esker("activate", "-g", "2", "--", "true")
    assert sorted(name.split(".")[-1] for name in os.listdir(two / ".flox/run") if ".gen" in name) == ["gen2-dev"]


def test_looking_at_a_generation_writes_nothing(esker, two):
    """`--json` shows the variables of then, and makes no link."""
    before = sorted(os.listdir(two / ".flox/run"))
    changes = json.loads(esker("activate", "-g", "1", "--json").out)
    assert changes["set"]["GREETING"] == "hello"
    assert changes["set"]["FLOX_ENV"].endswith("project.gen1-dev")
    assert sorted(os.listdir(two / ".flox/run")) == before


def test_a_broken_manifest_does_not_keep_from_an_earlier_generation(esker, two):
    """That is when one is needed most."""
    manifest(two).write_text("[vars\n")
    assert esker("activate", "--", "true").status == 1
    assert shown(esker, "-g", "2") == NOW


@pytest.mark.usefixtures("two")
def test_floxs_command_has_its_forms(flox):
    """The shim has `generations` and `-g`, and no `rollback` of its own."""
    assert list(json.loads(flox("generations", "list", "--json").out)) == ["1", "2"]
    assert flox("generations", "switch", "1") == (0, "", "✔ Switched to generation 1\n")
    assert flox("activate", "-g", "2", "--", "tool").out == "tool runs\n"
    assert flox("activate", "-g", "2", "--", "flox", "uninstall", "pypi/tool") == (1, "", f"✘ ERROR: {REFUSED}\n")
    assert flox("rollback").status == 1


def test_conda_packages_go_back_too(esker, project):
    """The prefix of then is activated, and `switch` leads to it."""
    with CondaChannel() as channel:
        for subdir in ("linux-64", "linux-aarch64", "osx-arm64"):
            for version in ("1.0", "2.0"):
                files = {"bin/prog": f"#!/bin/sh\necho prog {version}\n"}
                channel.add(conda_package("prog", version, files, subdir=subdir))
        table = f'schema-version = "1.14.0"\n[plugins.esker.conda]\nchannels = ["{channel.url}"]\n'
        directory = project(f'{table}dependencies = ["prog ==1.0"]\n')
        assert shown(esker, command="prog") == "prog 1.0\n"
        manifest(directory).write_text(f'{table}dependencies = ["prog ==2.0"]\n')
        assert shown(esker, command="prog") == "prog 2.0\n"
    assert shown(esker, "-g", "1", command="prog") == "prog 1.0\n"
    assert "~ prog 1.0 → 2.0" in esker("generations", "list").out
    assert esker("rollback").status == 0
    assert shown(esker, command="prog") == "prog 1.0\n"


def test_a_project_with_a_uv_lock_goes_back_and_keeps_its_files(esker, project, served, environ):
    """The packages of an earlier uv.lock are live again although pyproject.toml and uv.lock say what is newer."""
    directory = project('schema-version = "1.14.0"\n[plugins.esker.python]\nproject = "pyproject.toml"\n')
    pyproject = directory / "pyproject.toml"
    text = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["{}"]\n'
    for name in ("app", "tool"):
        pyproject.write_text(text.format(name))
        run_uv(["lock", "--python", sys.executable], Settings(environ).tools, cwd=directory)
        assert shown(esker, command=name) == f"{name} runs\n"
    before = pyproject.read_bytes(), (directory / "uv.lock").read_bytes()
    assert shown(esker, "-g", "1", command="app") == "app runs\n"
    assert esker("rollback").status == 0
    assert shown(esker, command="app; type tool >/dev/null 2>&1 || echo no tool") == "app runs\nno tool\n"
    assert (pyproject.read_bytes(), (directory / "uv.lock").read_bytes()) == before
    pyproject.write_text(text.format("tool") + "# another\n")
    assert shown(esker, command="app") == "app runs\n"
    pyproject.write_text(text.format('app", "tool'))
    assert shown(esker, command="tool") == "tool runs\n"


def test_the_tree_follows_what_was_live():
    """A generation is below the one that was live before it; one whose parent is not kept any more begins a tree."""

    def generation(number, parent, *, current=False):
        return Generation(number, "/x", 1.0, current=current, parent=parent, description=f"made {number}")

    known = Registration(
        (generation(3, 2), generation(4, 3), generation(5, 3, current=True), generation(6, 4), generation(7, 7))
    )
    assert list(_tree(known)) == [
        "3  made 3",
        "├── 4  made 4",
        "│   └── 6  made 6",
        "└── 5 (live)  made 5",
        "7  made 7",
    ]
