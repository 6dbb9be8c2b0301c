"""`esker which` and `esker list --files`: who brings a program, and what a package brings."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from esker.realise.owners import brought
from esker.store.store import Store
from tests.support.build_backend import add_backend, write_package

pytestmark = pytest.mark.slow


@pytest.fixture
def installed(esker, project, served):
    """Give an environment with the wheels `app` and `tool`."""
    directory = project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app", "tool"]\n')
    assert esker("activate", "--", "true").status == 0
    return directory


def profile_of(directory):
    """Return the store path of what is installed."""
    (link, *_) = (directory / ".flox/run").iterdir()
    return os.path.realpath(link)


def test_which_names_the_package_and_the_real_path(esker, installed):
    """A wheel's script, the interpreter and Esker's own pip, for people and as JSON."""
    profile = profile_of(installed)
    assert esker("which", "app").out == f"{profile}/bin/app  (pypi/app 1.0)\n"
    assert esker("which", "pip").out == f"{profile}/bin/pip  (made by Esker)\n"
    python = os.path.realpath(f"{profile}/bin/python")
    assert esker("which", "python").out == f"{python}  (the interpreter of the environment)\n"
    assert json.loads(esker("which", "tool", "--json").out) == {
        "program": "tool",
        "path": f"{profile}/bin/tool",
        "origin": "pypi",
        "name": "tool",
        "version": "1.0",
    }


def test_which_finds_what_the_host_has(esker, installed):
    """What the environment does not bring comes from PATH, and is said to."""
    real = os.path.realpath(shutil.which("sh"))
    assert esker("which", "sh").out == f"{real}  (this machine, not the environment)\n"
    assert json.loads(esker("which", "sh", "--json").out)["origin"] == "host"


@pytest.mark.parametrize(
    ("program", "status", "message", "hint"),
    [
        ("appp", 1, "there is no program `appp` in the environment, nor on PATH", "did you mean `app`?"),
        ("zzzzz", 1, "there is no program `zzzzz`", "esker search zzzzz"),
        ("bin/app", 2, "`bin/app` is not the name of a program", "give the name alone"),
        ("", 2, "`` is not the name of a program", "give the name alone"),
    ],
)
def test_which_of_what_is_nowhere(esker, installed, program, status, message, hint):
    """The message names the program, the hint what may be meant."""
    done = esker("which", program)
    assert (done.status, done.out) == (status, "")
    assert message in done.err
    assert hint in done.err.partition("hint: ")[2]


@pytest.mark.parametrize("command", [("which", "app"), ("list", "--files", "app")])
def test_an_environment_that_is_not_installed_is_told(esker, project, command):
    """Nothing is installed for a question."""
    project('schema-version = "1.14.0"\n')
    done = esker(*command)
    assert done.status == 1
    assert "this environment is not installed here\nhint: install it: esker activate -- true\n" in done.err


def test_another_store_does_not_have_it(esker, installed, tmp_path):
    """The links lead into a store that the settings do not name any more."""
    assert "is not installed here" in esker("which", "app", ESKER_STORE=str(tmp_path / "other")).err


def test_list_files_prints_real_paths(esker, installed, environ):
    """Every path is there, and they are the files that the wheel lists."""
    done = esker("list", "--files", "pypi/App")
    paths = done.out.splitlines()
    (app,) = [each for each in brought(Store(environ["ESKER_STORE"]), profile_of(installed)) if each.name == "app"]
    assert paths == [f"{app.prefix}/{file}" for file in app.files]
    assert {os.path.basename(path) for path in paths} >= {"app", "app.py", "app.dat", "METADATA", "RECORD"}
    assert all(os.path.exists(path) for path in paths)
    assert json.loads(esker("list", "--json", "--files", "app").out) == [
        {"name": "app", "version": "1.0", "origin": "pypi", "files": paths}
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "message", "hint"),
    [
        (("appp",), 1, "no package `appp` is installed", "did you mean `app`?"),
        (("conda/app",), 1, "no package `conda/app` is installed", "did you mean `app`?"),
        (("zzz",), 1, "no package `zzz` is installed", "esker list"),
        (("app", "-a"), 2, "`--files` lists paths", "leave the other option out"),
    ],
)
def test_list_files_of_what_is_not_installed(esker, installed, arguments, status, message, hint):
    """The message names the package as it was asked for."""
    done = esker("list", "--files", *arguments)
    assert (done.status, done.out) == (status, "")
    assert message in done.err
    assert hint in done.err.partition("hint: ")[2]


def test_which_names_the_project_itself(esker, project, index):
    """A command of the project's own is not a wheel's."""
    add_backend(index)
    directory = project('schema-version = "1.14.0"\n[plugins.esker.python]\nproject = "pyproject.toml"\n')
    write_package(directory)
    assert esker("activate", "--", "demo").status == 0
    assert esker("which", "demo").out == f"{profile_of(directory)}/bin/demo  (the project demo-app 1.2)\n"
