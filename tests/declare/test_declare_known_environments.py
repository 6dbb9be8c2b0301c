"""The list of the environments that a user has used."""

from __future__ import annotations

import json
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from esker.declare.known_environments import KnownEnvironment, known_environments, remember
from esker.declare.template import create
from esker.host import accounts
from esker.settings import Settings


@pytest.fixture
def home(tmp_path):
    """Give variables that name a home."""
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def made(tmp_path):
    """Give a function that makes an environment and returns its project directory."""

    def make(name):
        create(str(tmp_path / name))
        return str(tmp_path / name)

    return make


def path(home):
    return f"{home['HOME']}/.local/share/esker/env-registry.json"


def test_what_was_met_is_listed_by_place(home, made):
    """Once each, with the name that it has today."""
    second, first = made("b"), made("a")
    for project in (second, first, second):
        remember(project, Settings(home))
    with open(f"{second}/.flox/env.json", "w") as file:
        json.dump({"name": "renamed", "version": 1}, file)
    assert known_environments(Settings(home)) == [
        KnownEnvironment(f"{first}/.flox", "a"),
        KnownEnvironment(f"{second}/.flox", "renamed"),
    ]
    assert known_environments(Settings(home))[0].project == first


def test_the_file_has_floxs_shape_and_is_private(home, made):
    """Readers of Flox's list read this one, and nobody else does."""
    project = made("a")
    remember(project, Settings(home))
    with open(path(home)) as file:
        written = json.load(file)
    since = int(os.stat(f"{project}/.flox/env.json").st_mtime)
    envs = [{"created_at": since, "pointer": {"name": "a", "version": 1}}]
    assert written == {"version": 1, "entries": [{"path": f"{project}/.flox", "envs": envs}]}
    assert stat.S_IMODE(os.stat(path(home)).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path(home))).st_mode) == 0o700


def test_what_is_gone_is_not_listed_and_leaves_with_the_next_one(home, made):
    """A project that was removed is no environment any more; a damaged one is not listed either."""
    gone, stays, damaged = made("a"), made("b"), made("c")
    for project in (gone, stays, damaged):
        remember(project, Settings(home))
    shutil.rmtree(gone)
    with open(f"{damaged}/.flox/env.json", "w") as file:
        file.write("{")
    assert [each.name for each in known_environments(Settings(home))] == ["b"]
    remember(made("d"), Settings(home))
    with open(path(home)) as file:
        assert gone not in file.read()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"entries": [{}]}', '{"entries": 3}'])
def test_a_damaged_list_is_an_empty_one(home, made, text):
    """Nothing that it said is needed: it is written anew."""
    os.makedirs(os.path.dirname(path(home)))
    with open(path(home), "w") as file:
        file.write(text)
    assert known_environments(Settings(home)) == []
    remember(made("a"), Settings(home))
    assert [each.name for each in known_environments(Settings(home))] == ["a"]


def test_where_nothing_can_be_written_nothing_is_remembered(home, made):
    """The command that would have remembered goes on."""
    with open(home["HOME"], "w") as file:
        file.write("a file, so that no directory can be made")
    remember(made("a"), Settings(home))
    assert known_environments(Settings(home)) == []
    os.unlink(home["HOME"])
    os.symlink("nowhere", home["HOME"])
    remember(made("b"), Settings(home))
    assert known_environments(Settings(home)) == []


def test_nothing_is_put_into_somebody_elses_home(home, made):
    """Root that works with another's HOME leaves nothing there that they cannot use."""
    if os.geteuid() != 0:
        pytest.skip("giving a directory away needs root")
    os.mkdir(home["HOME"])
    os.chown(home["HOME"], 12345, -1)
    remember(made("a"), Settings(home))
    assert os.listdir(home["HOME"]) == []


def test_a_relative_home_is_not_below_the_current_directory(made, tmp_path, monkeypatch):
    """Where HOME is no absolute path, the machine's word counts."""
    monkeypatch.setattr(accounts, "find_home", lambda uid: str(tmp_path / "real"))
    monkeypatch.chdir(tmp_path)
    remember(made("a"), Settings({"HOME": "relative"}))
    assert known_environments(Settings({"HOME": str(tmp_path / "real")}))[0].name == "a"
    assert not (tmp_path / "relative").exists()


def test_many_at_once(home, made):
    """Nobody's entry is lost."""
    projects = [made(f"p{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda project: remember(project, Settings(home)), projects))
    assert [each.project for each in known_environments(Settings(home))] == projects


def test_xdg_data_home_decides_when_it_is_absolute(home, made, tmp_path):
    """A relative one is ignored, as its specification says."""
    remember(made("a"), Settings({**home, "XDG_DATA_HOME": str(tmp_path / "data")}))
    assert (tmp_path / "data/esker/env-registry.json").exists()
    remember(made("b"), Settings({**home, "XDG_DATA_HOME": "relative"}))
    assert os.path.exists(path(home))
