"""Root makes an environment in a user's directory while that user exchanges directories: nothing is written elsewhere."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from esker.declare.git_ignore import ignore
from esker.declare.template import create
from esker.errors import EskerError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")
USER = 4242


@pytest.fixture
def user(tmp_path):
    """Give a directory of a user."""
    directory = tmp_path / "user"
    directory.mkdir()
    os.chown(directory, USER, USER)
    return directory


@pytest.fixture
def elsewhere(tmp_path):
    """Give a directory of root's that a killed `init` and `delete` seem to have left things in."""
    directory = tmp_path / "roots"
    for name in ("above", ".flox.gone-1", ".flox.new-1", ".git"):
        (directory / name).mkdir(parents=True)
    (directory / ".gitignore").write_text("mine\n")
    return directory


def _contents(directory):
    return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_uid) for path in directory.rglob("*"))


def _divert(place, elsewhere):
    """Do as the user: put a link to what is root's in the place of a directory."""
    os.rename(place, f"{place}-moved")
    place.symlink_to(elsewhere)
    os.chown(place, USER, USER, follow_symlinks=False)


@pytest.mark.parametrize("moment", range(1, 30))
def test_whatever_directory_the_user_exchanges_init_writes_nothing_elsewhere(user, elsewhere, monkeypatch, moment):
    """The exchange comes just before one of the calls that open, make, rename or remove something."""
    project = user / "above/project"
    project.mkdir(parents=True)
    (project / ".flox.gone-2").mkdir()
    (project / ".git").mkdir()
    for path in (user / "above", project, *project.iterdir()):
        os.chown(path, USER, USER)
    before, calls = _contents(elsewhere), []

    def diverted(original):
        def call(*arguments, **options):
            calls.append(original.__name__)
            if len(calls) == moment:
                monkeypatch.undo()
                _divert(project, elsewhere)
            return original(*arguments, **options)

        return call

    for name in ("open", "mkdir", "rename", "rmdir", "unlink", "listdir"):
        monkeypatch.setattr(os, name, diverted(getattr(os, name)))
    with suppress(EskerError, OSError):
        create(str(project), "name")
        ignore(str(project), "esker-services.json")
    monkeypatch.undo()
    assert project.is_symlink()
    assert _contents(elsewhere) == before


def test_directories_that_are_missing_are_made_where_they_were_to_be(user, elsewhere, monkeypatch):
    """A link that comes into the place of a directory which was just made is not followed."""
    before, mkdir = _contents(elsewhere), os.mkdir

    def diverted(path, *arguments, **options):
        mkdir(path, *arguments, **options)
        if path == "above":
            monkeypatch.undo()
            _divert(user / "above", elsewhere)

    monkeypatch.setattr(os, "mkdir", diverted)
    with pytest.raises(EskerError, match="it is a link, or not a directory"):
        create(str(user / "above/project"))
    assert _contents(elsewhere) == before


def test_what_root_makes_in_a_user_s_directory_is_that_user_s(user):
    """The directories on the way, the environment, and the line for git."""
    project = user / "new/project"
    create(str(project))
    (project / ".git").mkdir()
    assert ignore(str(project), "esker-services.json")
    made = [path for path in (user / "new").rglob("*") if ".git" not in path.name or path.is_file()]
    assert {path.stat().st_uid for path in (user / "new", *made)} == {USER}
    assert len(made) > 6


def test_root_adds_no_line_to_a_file_with_a_second_name(user, tmp_path):
    """The other name may be that of a file of root's."""
    (user / ".git").mkdir()
    (tmp_path / "roots").write_text("mine\n")
    os.link(tmp_path / "roots", user / ".gitignore")
    assert not ignore(str(user), "esker-services.json")
    assert (tmp_path / "roots").read_text() == "mine\n"


def test_in_a_directory_of_root_s_own_everything_stays_root_s(tmp_path):
    """Nothing is given away there."""
    create(str(tmp_path / "new"))
    assert {path.stat().st_uid for path in (tmp_path / "new").rglob("*")} == {0}
