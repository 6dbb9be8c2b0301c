"""The pytest plugin that an environment has by itself: in an environment with a real pytest, and nothing of Esker's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import uv

from esker.host import process_table
from tests.support import installed_wheels
from tests.support.package_index import PackageIndex, wheel

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[2] / "src"
activate = (sys.executable, "-m", "esker", "activate", "--")
SYSTEM = "/usr/bin:/bin"
SERVICES = """\
import os, pathlib, sys
import pytest

@pytest.mark.esker(services=["one"])
def test_marked(): assert pathlib.Path(".flox/cache/one.log").read_text().count("\\n") == 1

def test_by_hand(esker_environment):
    esker_environment.start("one")
    assert esker_environment.project == os.getcwd()

def test_alone():
    with pytest.raises(ModuleNotFoundError): import esker
"""


@pytest.fixture(scope="module")
def served():
    """Give an index with pytest and pytest-xdist."""
    with PackageIndex() as index:
        installed_wheels.serve(index, *installed_wheels.WITH_XDIST)
        yield index


@pytest.fixture(scope="module")
def shared(served, tmp_path_factory):
    """Give variables under which all tests here share one store, so that pytest is installed once."""
    directory = tmp_path_factory.mktemp("shared")
    return {"ESKER_STORE": f"{directory}/store", "UV_CACHE_DIR": f"{directory}/cache", "UV_DEFAULT_INDEX": served.url}


@pytest.fixture
def inside(project, shared):
    """Give a project whose environment has pytest."""
    project.environ |= shared
    locking(project, "pytest")
    return project


def locking(project, *dependencies):
    """Let a project's environment have these distributions too."""
    manifest = project.directory / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text() + f"[plugins.esker.python]\ndependencies = {list(dependencies)}\n")


def outcome(done):
    """Return the last line of a run of pytest, without its duration."""
    return done.stdout.splitlines()[-1].strip("= ").partition(" in ")[0]


def libraries(project):
    """Return the site-packages directory of a project's profile."""
    (found,) = (project.directory / ".flox/run").glob("*-dev/lib/python*/site-packages")
    return found


def without_command(project, *argv, recorded=False, **variables):
    """Run a program of the environment where no `esker` can be found, but perhaps the recorded one."""
    record = project.directory / ".flox/cache/esker/command"
    if not recorded:
        record.unlink()
    binaries = libraries(project).parents[2] / "bin"
    return project.run("env", "-u", "ESKER_COMMAND", *argv, **{"PATH": f"{binaries}:{SYSTEM}"} | variables)


def test_an_environment_that_locks_pytest_has_the_plugin(inside):
    """Its marks, fixtures and services are there without further ado; nothing is written into the store."""
    inside.write("test_it.py", SERVICES)
    done = inside.run(*activate, "pytest")
    assert (done.returncode, outcome(done)) == (0, "3 passed"), done.stdout + done.stderr
    assert process_table.entry(inside.starts[0]) is None
    where = libraries(inside)
    assert not list((where / "esker_pytest").glob("**/*.pyc"))
    written = {path.name: path.read_bytes() for path in (where / "esker_pytest").iterdir()}
    assert written == {path.name: path.read_bytes() for path in (SOURCE / "esker_pytest").iterdir() if path.is_file()}


def test_it_is_a_distribution_of_its_own(inside):
    """`importlib.metadata` knows its entry point, its version, and each of its files by hash."""
    code = """\
import base64, hashlib, importlib.metadata as m
found = m.distribution("esker-pytest")
print(*[f"{e.group}:{e.name}={e.value}" for e in found.entry_points])
for path in found.files:
    content = path.locate().read_bytes()
    if path.hash:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert (path.hash.mode, path.hash.value, path.size) == ("sha256", digest, len(content)), path
"""
    done = inside.run(*activate, "python", "-c", code)
    assert (done.returncode, done.stdout) == (0, "pytest11:esker.testing=esker_pytest\n"), done.stderr


@pytest.mark.parametrize(
    "option", [(), ("-p", "esker.testing"), ("-p", "no:esker.testing")], ids=["alone", "named", "without"]
)
def test_its_name_is_the_same_as_outside(inside, option):
    """`-p esker.testing` loads it once, also where Esker's source is on the path, and `-p no:esker.testing` does not."""
    for variables in ({}, {"PYTHONPATH": str(SOURCE)}):
        done = inside.run(*activate, "pytest", *option, "--markers", **variables)
        count = done.stdout.count("@pytest.mark.esker(services=[...])")
        assert (done.returncode, count) == (0, int("no:esker.testing" not in option)), done.stderr


def test_an_environment_without_pytest_has_no_plugin(project, shared, served):
    """It would have nothing to plug into."""
    project.environ |= shared
    locking(project, "iniconfig")
    assert project.run(*activate, "true").returncode == 0
    assert not (libraries(project) / "esker_pytest").exists()


def test_an_environment_that_locks_esker_has_the_plugin_once(project, shared, served):
    """Esker's own distribution brings it."""
    files = {
        str(path.relative_to(SOURCE)): path.read_text()
        for name in ("esker", "esker_pytest")
        for path in sorted((SOURCE / name).rglob("*.py"))
    }
    files["esker-1.0.dist-info/entry_points.txt"] = '[pytest11]\n"esker.testing" = "esker_pytest"\n'.replace('"', "")
    served.put("esker", "esker-1.0-py3-none-any.whl", wheel("esker", "1.0", files))
    project.environ |= shared
    locking(project, "pytest", "esker")
    project.write("test_it.py", SERVICES.replace("with pytest.raises(ModuleNotFoundError): import", "import"))
    done = project.run(*activate, "pytest")
    assert (done.returncode, outcome(done)) == (0, "3 passed"), done.stdout + done.stderr
    assert [path.name for path in libraries(project).glob("esker*-*.dist-info")] == ["esker-1.0.dist-info"]
    served.remove("esker", entirely=True)


def test_a_package_of_the_plugins_name_is_refused(project, shared, served):
    """Its files and Esker's would lie in one directory; the message says whose name it is."""
    served.put("other", "other-1.0-py3-none-any.whl", wheel("other", "1.0", {"esker_pytest/__init__.py": ""}))
    project.environ |= shared
    locking(project, "pytest", "other")
    done = project.run(*activate, "true")
    assert done.returncode == 1
    assert "a locked package brings a `esker_pytest` of its own" in done.stderr


def test_without_a_command_only_the_fixtures_fail(inside):
    """They say what is missing; other tests, and the collection, are as without the plugin."""
    inside.write("test_it.py", SERVICES)
    assert inside.run(*activate, "true").returncode == 0
    done = without_command(inside, "pytest")
    assert (done.returncode, outcome(done)) == (1, "1 passed, 2 errors"), done.stdout
    message = (
        "the tests need Esker, and no `esker` command is here\nhint: put `esker` on PATH, or name it in ESKER_COMMAND"
    )
    assert done.stdout.count(f"\n{message}\n") == 2
    assert outcome(without_command(inside, "pytest", "--collect-only", recorded=True)) == "3 tests collected"


def test_the_project_remembers_which_esker_prepared_it(inside):
    """Where neither a variable nor PATH names a command, as in an IDE, the recorded one serves the tests."""
    inside.write("test_it.py", SERVICES)
    assert inside.run(*activate, "true").returncode == 0
    done = without_command(inside, "pytest", recorded=True)
    assert (done.returncode, outcome(done)) == (0, "3 passed"), done.stdout


def by_mode(record):
    record.chmod(0o644)  # what git makes of it


def by_link(record):
    record.rename(record.with_name("elsewhere"))
    record.symlink_to("elsewhere")


def by_directory(record):
    record.parent.chmod(0o777)


def by_linked_directory(record):
    record.parent.rename(record.parents[1] / "elsewhere")
    record.parent.symlink_to("elsewhere")


def by_content(record):
    record.write_text("esker\n")  # what PATH gives there may be in the project


def by_quote(record):
    record.write_text("'/bin/sh\n")


def by_age(record):
    record.write_text("/nonexistent/esker\n")


def by_owner(record):
    os.chown(record, 12345, 12345)


def by_pipe(record):
    record.unlink()
    os.mkfifo(record, 0o600)


@pytest.mark.parametrize(
    "spoil",
    [
        by_mode,
        by_link,
        by_directory,
        by_linked_directory,
        by_content,
        by_quote,
        by_age,
        pytest.param(by_owner, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")),
        by_pipe,
    ],
)
def test_a_command_that_somebody_else_may_have_recorded_is_not_run(inside, spoil):
    """Only a file that nobody but this user and root could write names a command; any other is as if it were missing."""
    inside.write("test_it.py", "def test_it(esker_environment): pass\n")
    assert inside.run(*activate, "true").returncode == 0
    record = inside.directory / ".flox/cache/esker/command"
    trap = inside.directory / "trap"
    trap.write_text("#!/bin/sh\necho ran > trapped\n")
    trap.chmod(0o755)
    if spoil not in (by_content, by_quote, by_age):
        record.write_text(f"{trap}\n")
    spoil(record)
    done = without_command(inside, "pytest", recorded=True)
    assert outcome(done) == "1 error"
    assert "no `esker` command is here" in done.stdout
    assert inside.lines("trapped") == []


def test_the_next_lock_records_the_command_anew(inside):
    """A record that a checkout has brought, or that was made for another Esker, does not stay."""
    assert inside.run(*activate, "true").returncode == 0
    record = inside.directory / ".flox/cache/esker/command"
    content = record.read_text()
    for spoil in (by_mode, by_age, by_link, Path.unlink):
        spoil(record)
        inside.esker("lock")
        assert (record.read_text(), record.lstat().st_mode) == (content, 0o100600)


def test_an_esker_that_does_not_know_the_protocol_is_named(inside):
    """The error shows which command it was and what it said."""
    inside.write("test_it.py", "def test_it(esker_environment): pass\n")
    inside.write("old/esker", "#!/bin/sh\necho 'there is no command `testing`' >&2\nexit 2\n")
    os.chmod(inside.directory / "old/esker", 0o755)
    assert inside.run(*activate, "true").returncode == 0
    path = f"{libraries(inside).parents[2]}/bin:{inside.directory}/old:{SYSTEM}"
    done = without_command(inside, "pytest", PATH=path)
    assert outcome(done) == "1 error"
    assert (
        f"(`{inside.directory}/old/esker`) has ended with exit status 2\n  there is no command `testing`\n"
        in done.stdout
    )
    assert "hint: install the Esker that has locked the project" in done.stdout


def test_the_workers_of_one_run_share_a_service(project, shared):
    """With pytest-xdist each worker has a session of its own; the service is started once, and ends with the last."""
    project.environ |= shared
    locking(project, "pytest", "pytest-xdist")
    project.write(
        "test_it.py",
        "import time\nimport pytest\n@pytest.mark.esker(services=['one'])\n"
        "@pytest.mark.parametrize('number', range(4))\ndef test_it(number, worker_id): time.sleep(0.5)\n",
    )
    done = project.run(*activate, "pytest", "-n", "2")
    assert (done.returncode, outcome(done)) == (0, "4 passed"), done.stdout + done.stderr
    assert len(project.starts) == 1
    assert process_table.entry(project.starts[0]) is None


def test_a_new_esker_gives_a_new_profile(inside, monkeypatch):
    """The plugin's content is part of the profile's key."""
    from esker.realise import pytest_plugin

    before = pytest_plugin.fingerprint()
    copy = inside.directory / "copy"
    shutil.copytree(SOURCE / "esker_pytest", copy / "esker_pytest")
    monkeypatch.setattr(pytest_plugin, "SOURCE", str(copy))
    assert pytest_plugin.fingerprint() == before
    with open(copy / "esker_pytest/errors.py", "a") as file:
        file.write("# changed\n")
    assert pytest_plugin.fingerprint() != before


def test_it_works_with_the_pythons_assertions_switched_off(inside):
    """`python -O` leaves out every `assert`; nothing of the plugin depends on one."""
    inside.write("test_it.py", SERVICES)
    done = inside.run(*activate, "python", "-O", "-m", "pytest", "-W", "ignore")
    assert outcome(done).startswith("3 passed"), done.stdout
    assert version("pytest")


def test_an_ide_that_runs_the_environments_python_has_the_plugin(inside):
    """An IDE activates nothing: it runs `.flox/run/…/bin/python -m pytest`, and the plugin activates the environment."""
    inside.write("test_it.py", "import os\ndef test_it(esker_environment): assert os.environ['GREETING'] == 'hello'\n")
    assert inside.run(*activate, "true").returncode == 0
    python = libraries(inside).parents[2] / "bin/python"
    done = subprocess.run(
        [python, "-m", "pytest"],
        cwd=inside.directory,
        env={"HOME": inside.environ["HOME"], "PATH": SYSTEM, "ESKER_STORE": inside.environ["ESKER_STORE"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, outcome(done)) == (0, "1 passed"), done.stdout


def test_tools_that_read_metadata_find_nothing_broken(inside):
    """To uv, which counts real directories alone, the plugin is the only distribution here: it has to be a whole one."""
    assert inside.run(*activate, "true").returncode == 0
    python = libraries(inside).parents[2] / "bin/python"
    done = subprocess.run(
        [uv.find_uv_bin(), "pip", "check", "--python", python], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Checked 1 package" in done.stderr
