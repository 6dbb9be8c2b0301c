"""What a lock is made of, and what cannot be locked."""

from __future__ import annotations

import os

import pytest

from esker.declare.load import load
from esker.errors import HostError, InvalidLock, MissingInclude, NotTrusted
from esker.host.interpreters import Interpreters
from esker.lock.lock_files import read_lock
from esker.progress import Silent
from esker.runtimes.native.change import Texts, change
from esker.runtimes.native.locking import lock_project
from esker.runtimes.native.preparation import prepare_stale
from esker.settings import Settings
from tests.support.projects import EMPTY, write_project


@pytest.fixture
def composed(tmp_path):
    """Give the directory of an environment that includes another."""
    includes = '[include]\nenvironments = [{ dir = "../low" }]\n'
    return str(write_project(tmp_path, EMPTY + includes, "high"))


@pytest.fixture
def plain(tmp_path):
    """Give the directory of an environment that declares nothing."""
    return str(write_project(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a project of somebody else's")
def test_a_stranger_s_project_builds_nothing(tmp_path):
    """What `build` names runs code when it is locked and when it is realised, which a stranger's project may not."""
    table = '[plugins.esker.python]\ndependencies = ["evil"]\nbuild = ["evil"]\n'
    write_project(tmp_path, EMPTY + table, "evil")
    os.chown(tmp_path / ".flox", 4242, 4242)
    settings = Settings({"XDG_CONFIG_HOME": str(tmp_path), "ESKER_STORE": str(tmp_path / "store")})
    with pytest.raises(NotTrusted):
        lock_project(load(str(tmp_path)), settings, Interpreters({}), progress=Silent())
    with pytest.raises(NotTrusted):
        change(str(tmp_path), Texts(f"{EMPTY}{table}[vars]\nA = '1'\n"), settings, progress=Silent())
    assert not (tmp_path / "store").exists()


def test_an_environment_that_includes_what_is_not_there_is_not_locked(composed):
    """What an environment would take from others is never left out in silence."""
    with pytest.raises(MissingInclude, match="there is no environment in"):
        lock_project(load(composed), Settings({}), Interpreters({}), progress=Silent())


def test_an_environment_that_includes_what_is_not_there_is_not_activated(composed):
    """Nor is such an environment activated without a lock; nothing is written."""
    with pytest.raises(MissingInclude):
        prepare_stale(composed, Settings({}))
    assert not os.path.exists(f"{composed}/.flox/env/manifest.lock")


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_lock_that_is_made_again_ends_as_it_did(tmp_path, ending):
    """Old locks have no line feed at their end; a change of the manifest does not add one."""
    old = '{"lockfile-version": 1, "manifest": {"version": 1, "hook": {"on-activate": null}, "options": {}}, "packages": []}'
    directory = write_project(tmp_path, 'version = 1\n[vars]\nA = "1"\n')
    path = directory / ".flox/env/manifest.lock"
    path.write_text(old + ending)
    _, is_new = lock_project(load(str(directory)), Settings({}), Interpreters({}), progress=Silent())
    assert is_new
    assert path.read_text().endswith("}" + ending)
    assert '"A": "1"' in path.read_text()


@pytest.mark.parametrize("content", [b"# caf\xe9\n", b"a = " + b"9" * 5000, b"a = " + b"[" * 5000])
def test_a_python_lock_that_cannot_be_read_is_told(plain, content):
    """Another encoding, and what no reader takes, are problems of the file."""
    with open(f"{plain}/.flox/env/manifest.lock", "w") as file:
        file.write("{}")
    with open(f"{plain}/.flox/pylock.toml", "wb") as file:
        file.write(content)
    with pytest.raises(InvalidLock) as caught:
        read_lock(load(plain))
    assert caught.value.place.startswith(f"{plain}/.flox/pylock.toml")


@pytest.mark.parametrize("name", ["env/manifest.lock", "pylock.toml"])
def test_a_lock_that_is_no_file_is_refused(plain, name):
    """A pipe in its place is not waited for."""
    with open(f"{plain}/.flox/env/manifest.lock", "w") as file:
        file.write("{}")
    if os.path.exists(f"{plain}/.flox/{name}"):
        os.unlink(f"{plain}/.flox/{name}")
    os.mkfifo(f"{plain}/.flox/{name}")
    with pytest.raises(HostError, match="it is not a regular file"):
        read_lock(load(plain))
