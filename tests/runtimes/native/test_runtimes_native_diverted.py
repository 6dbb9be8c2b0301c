"""Root works in a user's project while that user exchanges a directory of it: nothing is written elsewhere."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

import pytest

from esker.activate.allocation import allocate
from esker.declare.load import load
from esker.errors import EskerError, HostError, ServiceFailed
from esker.host import files, trees
from esker.progress import Silent
from esker.runtimes.native.change import Texts, change, delete, rename
from esker.runtimes.native.links import forget_plans
from esker.runtimes.native.runtime import prepare
from esker.runtimes.native.swap import put_in_order
from esker.services.supervised.identity import choose
from esker.settings import Settings
from tests.support.projects import write_project

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")

USER = 4242
MANIFEST = (
    'schema-version = "1.14.0"\n[services.web]\ncommand = "sleep 9"\n'
    "[plugins.esker.services.web]\nports = { PORT = 0 }\n"
)


@pytest.fixture
def settings(tmp_path):
    return Settings({"HOME": str(tmp_path / "home"), "ESKER_STORE": str(tmp_path / "store"), "ESKER_TRUST": "1"})


@pytest.fixture
def project(tmp_path, settings):
    """A user's project, which root has activated once."""
    directory = write_project(tmp_path / "user/project", MANIFEST)
    for above, _, names in os.walk(tmp_path / "user"):
        for path in (above, *(f"{above}/{name}" for name in names)):
            os.chown(path, USER, USER)
    prepare(str(directory), settings)
    return directory


@pytest.fixture
def elsewhere(tmp_path):
    """A directory of root's that looks like a `.flox`, so that nothing fails for want of a directory."""
    directory = tmp_path / "roots"
    for name in ("cache/esker", "run", "env", "log"):
        (directory / name).mkdir(parents=True)
    return directory


def _contents(directory):
    return sorted((str(path), path.lstat().st_mtime_ns) for path in directory.rglob("*"))


def _divert(project, elsewhere, name):
    """Do as the user: put a link to what is root's in the place of a directory of the project."""
    place = project / name
    os.rename(place, place.with_name("moved"))
    place.symlink_to(elsewhere / name.removeprefix(".flox").lstrip("/"))
    os.chown(place, USER, USER, follow_symlinks=False)


def _installed(project, settings):
    change(str(project), Texts(MANIFEST + "[vars]\nA = '1'\n"), settings, progress=Silent())


def _edited(project, settings):
    change(str(project), Texts(MANIFEST + "[vars]\nA = '1'\n"), settings, effect="write", progress=Silent())


WORK = {
    "activate": lambda project, settings: prepare(str(project), settings, mode="run"),
    "ports": lambda project, settings: allocate(load(str(project)), settings, renew={"web"}),
    "install": _installed,
    "edit": _edited,
    "rename": lambda project, _: rename(str(project), "other"),
    "forget": lambda project, _: forget_plans(load(str(project))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [".flox", ".flox/cache", ".flox/cache/esker", ".flox/run", ".flox/env"])
@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("moment", [1, 2, 4])
def test_whatever_directory_the_user_exchanges_root_writes_nothing_elsewhere(
    project, elsewhere, settings, monkeypatch, name, work, moment
):
    """The exchange comes just before one of the writes, after everything was read and checked."""
    if name == ".flox":
        for file in ("env.json", "env/manifest.toml"):
            (elsewhere / file).write_bytes((project / ".flox" / file).read_bytes())
    (elsewhere / "cache/esker/plan-dev.json").write_text("root's")
    before = _contents(elsewhere)
    moments: list[str] = []

    def diverted(original):
        def first(*arguments, **options):
            if str(project) in str(arguments[0]):
                moments.append(arguments[0])
            if len(moments) == moment and not (project / name).is_symlink():
                _divert(project, elsewhere, name)
            return original(*arguments, **options)

        return first

    for function in ("locked", "write", "staged", "holds", "replace_link"):
        monkeypatch.setattr(files, function, diverted(getattr(files, function)))
    monkeypatch.setattr(trees, "remove_tree", diverted(trees.remove_tree))
    if work == "forget":
        _divert(project, elsewhere, name)
    with suppress(EskerError):
        WORK[work](project, settings)
    assert _contents(elsewhere) == before


def test_putting_in_order_removes_nothing_elsewhere(project, elsewhere):
    """What a killed change has left is removed in the project, and not behind a user's link."""
    for directory in (elsewhere, project / ".flox"):
        (directory / "env.new").mkdir()
    (elsewhere / "env/manifest.toml").write_text(MANIFEST)
    _divert(project, elsewhere, ".flox")
    with pytest.raises(HostError, match="a link of uid"):
        put_in_order(str(project))
    assert (elsewhere / "env.new").exists()


def test_root_s_copy_of_a_user_s_directory_gives_nobody_root_s_rights(project, settings):
    """A set-uid program in `env` is copied without its bit, and the copies stay the user's."""
    program = project / ".flox/env/program"
    program.write_text("#!/bin/sh\n")
    os.chown(program, USER, USER)
    program.chmod(0o4755)
    _installed(project, settings)
    status = program.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (USER, 0o755)
    assert (project / ".flox/env").stat().st_uid == USER


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_root_copies_nothing_from_behind_a_user_s_link(project, elsewhere, settings, kind):
    """What only root may read does not come into the project, and a pipe does not keep root waiting."""
    (elsewhere / "env/secret").write_text("secret")
    if kind == "directory":
        _divert(project, elsewhere, ".flox/env")
        (elsewhere / "env/manifest.toml").write_text(MANIFEST)
    else:
        os.mkfifo(project / ".flox/env/pipe")
    with pytest.raises(HostError):
        _installed(project, settings)
    assert not (project / ".flox/env.new").exists()


def test_root_deletes_nothing_behind_a_user_s_link(project, tmp_path):
    """The user exchanges the whole project: root's own environment, to which the link leads, stays."""
    own = write_project(tmp_path / "own")
    project.rename(project.with_name("moved"))
    project.symlink_to(own)
    os.chown(project, USER, USER, follow_symlinks=False)
    with pytest.raises(HostError, match="it is a link"):
        delete(str(project))
    assert (own / ".flox/env/manifest.toml").exists()


def test_a_service_does_not_become_the_user_whom_a_link_leads_to(project, tmp_path):
    """Root's services run as the owner of the project, and not as the owner of what was put in its place."""
    assert choose("web", None, str(project), (), lambda *_: None).account.uid == USER
    (tmp_path / "victim").mkdir()
    os.chown(tmp_path / "victim", USER + 1, USER + 1)
    project.rename(project.with_name("moved"))
    project.symlink_to(tmp_path / "victim")
    with pytest.raises(ServiceFailed, match="it is a link"):
        choose("web", None, str(project), (), lambda *_: None)
