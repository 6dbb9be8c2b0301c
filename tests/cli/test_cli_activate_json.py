"""`esker activate --json` on real processes: what it prints, and that it changes no file anywhere."""

from __future__ import annotations

import json
import os
import shutil

import pytest

PYTHON = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"]\n'
PORTS = """\
schema-version = "1.14.0"
[services.web]
command = "sleep 1000"
[plugins.esker.services.web]
ports = { WEB_PORT = 0 }
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def looking(esker, tmp_path):
    """Give a function that runs `activate --json` and asserts that no file of project, store and home has changed."""

    def look(*arguments, **variables):
        runtime = tmp_path / "runtime"
        runtime.mkdir(0o700, exist_ok=True)
        before = _files(tmp_path)
        done = esker("activate", *arguments, "--json", XDG_RUNTIME_DIR=str(runtime), **variables)
        assert _files(tmp_path) == before
        return done

    return look


def _files(directory):
    """Return every file below a directory with what changes when it is written."""
    found = {}
    for place, directories, names in os.walk(directory):
        for name in (*directories, *names):
            status = os.lstat(os.path.join(place, name))
            found[os.path.join(place, name)] = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode)
    return found


def test_a_cold_project_stays_as_it_is(looking, project, served):
    """Without a lock it is an error that names the two commands; nothing is locked, installed or linked."""
    project(PYTHON)
    done = looking()
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "✘ ERROR: the lock does not match the manifest\n"
        "  manifest.lock: not made yet\n"
        "hint: lock and install it: esker activate -- true; or only lock it: esker lock\n"
        "code: stale-lock\n"
    )


def test_a_stale_lock_stays_stale(esker, looking, project, served):
    """After an edit of the manifest by hand, the reasons are listed, and the lock is not made again."""
    directory = project(PYTHON)
    assert esker("activate", "--", "true").status == 0
    (directory / ".flox/env/manifest.toml").write_text(PYTHON.replace('"app"', '"app", "tool"'))
    done = looking()
    assert done.status == 1
    assert "requirements: `tool` is not locked" in done.err


def test_what_is_locked_but_not_installed_is_told(esker, looking, project, served, tmp_path):
    """The first time on a machine, after a change of the interpreter's store, and after a renaming."""
    project(PYTHON)
    assert esker("lock").status == 0
    expected = (
        "✘ ERROR: the environment `project` is locked, but not installed on this machine\n"
        "hint: install it: esker activate -- true\n"
        "code: realisation-failed\n"
    )
    assert looking() == (1, "", expected)
    assert esker("activate", "--", "true").status == 0
    assert looking().status == 0
    assert looking(ESKER_STORE=str(tmp_path / "another")) == (1, "", expected)
    assert esker("edit", "-n", "other").status == 0
    assert looking() == (1, "", expected.replace("project", "other"))


def test_a_plan_that_is_missing_or_stale_is_worked_out(esker, looking, project, served):
    """What is printed is what an activation has printed before, whether it has written its plan or not."""
    directory = project(PYTHON)
    assert esker("activate", "--", "true").status == 0
    warm = looking()
    assert warm.status == 0
    assert json.loads(warm.out)["prepend"]["PATH"][0].endswith("-dev/bin")
    os.utime(directory / ".flox/env/manifest.toml")
    assert looking() == warm
    shutil.rmtree(directory / ".flox/cache")
    assert looking() == warm
    assert "-run/bin" in looking("-m", "run").out
    assert esker("activate", "--", "app").out == "app runs\n"


def test_the_generation_that_a_person_went_back_to_is_shown(esker, looking, project, served):
    """After a rollback the links lead to the older profile on purpose."""
    project()
    assert esker("install", "pypi/app").status == 0
    assert esker("install", "pypi/tool").status == 0
    assert esker("rollback").status == 0
    assert looking().status == 0


def test_ports_that_nobody_has_reserved_are_shown_and_not_reserved(esker, looking, project):
    """The port is the one that the next activation chooses, and the one that the checkout has afterwards."""
    directory = project(PORTS)
    assert esker("activate", "--", "true").status == 0
    kept = json.loads(looking().out)["set"]["WEB_PORT"]
    (directory / ".flox/env/manifest.toml").write_text(PORTS.replace("WEB_PORT = 0", "WEB_PORT = 0, OTHER = 0"))
    assert esker("lock").status == 0
    shown = json.loads(looking().out)["set"]
    assert shown["WEB_PORT"] == kept
    assert esker("activate", "--", "sh", "-c", "echo $WEB_PORT $OTHER").out.split() == [kept, shown["OTHER"]]


def test_a_project_that_may_not_be_written_is_shown(esker, looking, project):
    """Where a plan cannot be written, as on a read-only file system, the variables are printed all the same."""
    directory = project('schema-version = "1.14.0"\n[vars]\nA = "1"\n')
    assert esker("activate", "--", "true").status == 0
    shutil.rmtree(directory / ".flox/cache")
    os.chmod(directory / ".flox", 0o500)
    try:
        assert json.loads(looking().out)["set"]["A"] == "1"
    finally:
        os.chmod(directory / ".flox", 0o700)


def test_without_packages_nothing_is_written_either(esker, looking, project, served):
    """A lock that cannot be complete here is worked out in memory; wheels still have to be locked and installed."""
    directory = project(PYTHON + '[install]\njq.pkg-path = "jq"\n')
    done = looking("--without-packages")
    assert done.status == 1
    assert "hint: lock and install it: esker activate --without-packages -- true" in done.err
    assert esker("activate", "--without-packages", "--", "app").out == "app runs\n"
    assert not (directory / ".flox/env/manifest.lock").exists()
    shutil.rmtree(directory / ".flox/cache")
    done = looking("--without-packages")
    assert json.loads(done.out)["prepend"]["PATH"][0].endswith("-dev/bin")
    assert "Going on without 1 package" in done.err
