"""`esker store` and `esker rollback`: installed paths are shared, verified, returned to and collected."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.support.interpreters import minor

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("served")
def test_a_story_from_init_to_gc(esker, empty, environ):
    """Init, install, use, uninstall, collect: programs exist inside only, and the disk space is freed at the end."""
    assert esker("init").status == 0
    assert esker("install", "pypi/app", "pypi/tool").status == 0
    assert esker("activate", "--", "sh", "-c", "app && tool").out == "app runs\ntool runs\n"
    packages = "app: pypi/app (1.0)\ntool: pypi/tool (1.0)\n"
    assert esker("list") == (0, f"{packages}python: interpreter ({minor()})\n", "")
    assert json.loads(esker("list", "--json").out)[0] == {
        "name": "app",
        "version": "1.0",
        "origin": "pypi",
        "source": "pypi/app",
    }
    assert esker("lock", "--check").status == 0
    before = size(environ["ESKER_STORE"])
    assert esker("uninstall", "pypi/app", "pypi/tool").status == 0
    assert esker("activate", "--", "app").status == 127
    os.mkdir(f"{environ['ESKER_STORE']}/store/.tmp-killed")
    told = re.compile(r"^✔ \d+ paths, 1 that killed commands had left, \d+\.\d MB (would be )?freed$", re.MULTILINE)
    assert told.search(esker("store", "gc", "--keep", "1", "--dry-run").err)
    assert json.loads(esker("store", "gc", "--keep", "1", "--dry-run", "--json").out)["unfinished"] == 1
    collected = esker("store", "gc", "--keep", "1")
    assert collected.status == 0
    assert told.search(collected.err)
    assert size(environ["ESKER_STORE"]) < before / 2
    assert esker("store", "verify").status == 0


def size(directory):
    """Return the bytes that a tree takes on disk."""
    return int(subprocess.run(["du", "-sb", directory], capture_output=True, text=True, check=True).stdout.split()[0])


@pytest.mark.usefixtures("served")
def test_a_rollback_holds_until_the_lock_changes(esker, empty):
    """After a rollback later activations use the older profile, until the lock changes."""
    esker("init")
    esker("install", "pypi/app")
    esker("install", "pypi/tool")
    assert esker("activate", "--", "tool").status == 0
    assert esker("rollback").status == 0
    assert esker("activate", "--", "app").status == 0
    assert esker("activate", "--", "tool").status == 127
    told = esker("list").err
    assert re.match(r"! Generation 1 is live, of 20\d\d-\d\d-\d\d \d\d:\d\d, and this list is the lock's.\n", told)
    assert told.endswith("and 'esker generations switch N' goes to another.\n")
    esker("uninstall", "pypi/tool")
    esker("install", "pypi/tool")
    assert esker("activate", "--", "tool").status == 0


@pytest.mark.usefixtures("served")
def test_the_store_is_shared_and_verified(esker, empty, environ):
    """`store verify` finds and names a changed path, and `path-info` knows every path."""
    esker("init")
    esker("install", "pypi/app")
    esker("install", "pypi/tool")
    wheel = tampered_wheel(esker)
    done = esker("store", "verify")
    assert done.status == 1
    assert f"damaged store paths (used in `{empty}`): `{wheel}`: its contents have changed" in done.err
    assert "hint: delete them with all that needs them: esker store verify --repair" in done.err
    repaired = esker("store", "verify", "--repair")
    assert repaired.status == 0
    assert f"✔ deleted `{wheel}`" in repaired.err
    assert len(paths_of(esker)) == 1  # the other wheel; both profiles needed this one
    assert esker("activate", "--", "app").out == "app runs\n"
    assert esker("store", "verify").status == 0


def tampered_wheel(esker):
    """Change a file of the wheel of `app`, and return the wheel's store path."""
    [wheel] = [path for path in paths_of(esker) if path.endswith("-app-1.0")]
    [victim] = pathlib.Path(wheel).rglob("app.py")
    victim.chmod(0o644)
    victim.write_text(f"{victim.read_text()}# tampered\n")
    return wheel


def paths_of(esker):
    """Return the store paths that have records."""
    return [record["path"] for record in json.loads(esker("store", "path-info", "--json").out)]


@pytest.mark.usefixtures("served")
def test_a_repair_after_a_rollback_leads_back_to_the_lock(esker, empty):
    """The profile that a person went back to is gone, so the environment is the one that is locked."""
    esker("init")
    esker("install", "pypi/app")
    esker("install", "pypi/tool")
    assert esker("rollback").status == 0
    tampered_wheel(esker)
    assert esker("store", "verify", "--repair").status == 0
    for _ in range(2):
        assert esker("activate", "--", "sh", "-c", "app && tool").out == "app runs\ntool runs\n"


@pytest.mark.usefixtures("served")
def test_a_repair_names_the_environments_that_it_affects(esker, project, empty):
    """Those of other projects too, which nobody would look at here; not those that need something else."""
    table = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["{}"]\n'
    shop, bank = (project(table.format("app"), name=name) for name in ("shop", "bank"))
    other = project(table.format("tool"), name="other")
    for directory in (shop, bank, other):
        assert esker("activate", "--", "true", cwd=directory).status == 0
    tampered_wheel(esker)
    assert f"damaged store paths (used in `{bank}`, `{shop}`): " in esker("store", "verify").err
    done = esker("store", "verify", "--repair")
    for directory in (shop, bank):
        assert f"! the environment of `{directory}` needs them: its next activation makes them again\n" in done.err
    assert str(other) not in done.err
    assert esker("activate", "--", "app", cwd=shop).out == "app runs\n"


@pytest.mark.usefixtures("served")
def test_what_two_environments_have_in_common_is_there_once(esker, project, empty):
    """The second one only adds what it alone has, and a collection counts what both need."""
    table = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"{}]\n'
    first = project(table.format(""), name="first")
    second = project(table.format(', "tool"'), name="second")
    assert esker("activate", "--", "true", cwd=first).status == 0
    before = set(paths_of(esker))
    assert esker("activate", "--", "true", cwd=second).status == 0
    added = {os.path.basename(path).partition("-")[2] for path in set(paths_of(esker)) - before}
    assert added == {"tool-1.0", "second-profile", "second-generation"}
    subprocess.run(["rm", "-rf", second / ".flox"], check=True)
    esker("store", "gc", "--keep", "1")
    assert set(paths_of(esker)) == before
    assert esker("activate", "--", "app", cwd=first).out == "app runs\n"


@pytest.mark.usefixtures("served")
def test_an_environment_of_an_older_recipe_goes_on_until_it_is_locked_again(esker, empty, environ):
    """A new version of Esker builds nothing anew by itself, and a collection takes what the old one made."""
    esker("init")
    older = (
        "import sys, esker.realise.wheels as wheels, esker.realise.profile as profile\n"
        "wheels.RECIPE = profile.RECIPE = 0\n"
        "from esker.cli.main import main\n"
        "sys.exit(main(['install', 'pypi/app']) or main(['activate', '--', 'true']))\n"
    )
    subprocess.run([sys.executable, "-c", older], cwd=empty, env=environ, capture_output=True, check=True)
    old = set(paths_of(esker))
    assert esker("activate", "--", "app").out == "app runs\n"
    assert set(paths_of(esker)) == old
    esker("install", "pypi/tool")
    assert esker("activate", "--", "app").out == "app runs\n"
    esker("store", "gc", "--keep", "1")
    assert not set(paths_of(esker)) & old


@pytest.mark.parametrize("command", ["verify", "path-info"])
def test_a_path_that_the_store_does_not_have_is_an_error_of_its_own(esker, project, command):
    """A mistyped path does not count as damaged, and the error says what to do."""
    project()
    done = esker("store", command, "NOPE")
    assert (done.status, done.out) == (1, "")
    assert "`NOPE` is not a store path" in done.err
    assert "hint: list what the store holds: esker store path-info" in done.err
    assert "damaged" not in done.err
    assert "code: not-found" in done.err
