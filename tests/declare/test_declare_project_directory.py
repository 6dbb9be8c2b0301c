from __future__ import annotations

import os
import stat

import pytest

from esker.declare import project_directory

STRANGER = 12345


@pytest.fixture
def dot_flox(tmp_path):
    (tmp_path / "project" / ".flox").mkdir(parents=True)
    return str(tmp_path / "project" / ".flox")


def made(dot_flox, *names, mode=0o700):
    """Make a directory, and return its path."""
    with project_directory.opened(dot_flox, *names, mode=mode):
        return "/".join((dot_flox, *names))


def test_directories_are_made_closed_and_kept(dot_flox):
    """What is missing is made 0700, or with the mode that is asked for; what is there stays as it is."""
    path = made(dot_flox, "cache", "esker")
    assert path == f"{dot_flox}/cache/esker"
    os.chmod(path, 0o750)
    assert made(dot_flox, "cache", "esker") == path
    found = [stat.S_IMODE(os.stat(each).st_mode) for each in (f"{dot_flox}/cache", path)]
    assert found == [0o700, 0o750]
    made(dot_flox, "run", mode=0o755)
    assert os.stat(f"{dot_flox}/run").st_mode & 0o700 == 0o700


@pytest.mark.parametrize("depth", [1, 2])
def test_no_step_goes_through_a_link(dot_flox, tmp_path, depth):
    """A link, or a file, in the place of a directory is refused by its path, and nothing is made behind it."""
    (tmp_path / "elsewhere").mkdir()
    names = ["cache", "esker", "more"]
    above = made(dot_flox, *names[: depth - 1])
    place = f"{above}/{names[depth - 1]}"
    os.symlink(tmp_path / "elsewhere", place)
    for _ in range(2):
        with pytest.raises(OSError, match="it is a link, or not a directory") as caught:
            made(dot_flox, *names)
        assert caught.value.filename == place
        os.unlink(place)
        with open(place, "w", encoding="ascii"):
            pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_makes_is_the_owner_s(dot_flox, tmp_path):
    """Directories and files go to the owner of the project: only those that root has made, and none with two names."""
    os.chown(dot_flox, STRANGER, STRANGER)
    os.mkdir(f"{dot_flox}/log")
    with project_directory.opened(dot_flox, "log", "services") as directory:
        (tmp_path / "roots").touch()
        os.link(tmp_path / "roots", "linked", dst_dir_fd=directory)
        for name in ("made", "linked"):
            file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=directory)
            project_directory.give(file, os.stat(dot_flox))
            os.close(file)
    assert os.stat(f"{dot_flox}/log").st_uid == 0
    assert os.stat(f"{dot_flox}/log/services").st_uid == STRANGER
    assert os.stat(f"{dot_flox}/log/services/made").st_uid == STRANGER
    assert os.stat(tmp_path / "roots").st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_is_not_led_away_between_making_and_giving(dot_flox, tmp_path, monkeypatch):
    """Who owns the project may put a link in the place of what root has just made: what it leads to stays root's."""
    os.chown(dot_flox, STRANGER, STRANGER)
    (tmp_path / "roots").mkdir()
    make = os.mkdir

    def exchanged(path, mode=0o777, *, dir_fd=None):
        make(path, mode, dir_fd=dir_fd)
        os.rmdir(f"{dot_flox}/cache")
        os.symlink(tmp_path / "roots", f"{dot_flox}/cache")

    monkeypatch.setattr(os, "mkdir", exchanged)
    with pytest.raises(OSError, match="a link"):
        made(dot_flox, "cache")
    monkeypatch.undo()
    assert os.stat(tmp_path / "roots").st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")
@pytest.mark.parametrize("name", [".flox", "env"])
def test_root_follows_a_user_s_link_only_to_what_is_that_user_s(dot_flox, tmp_path, name):
    """People may keep `.flox` or `env` elsewhere, but nobody leads root into a directory of somebody else."""
    above, names = (os.path.dirname(dot_flox), []) if name == ".flox" else (dot_flox, ["env"])
    (tmp_path / "elsewhere").mkdir()
    if name == ".flox":
        os.rmdir(dot_flox)
    os.symlink(tmp_path / "elsewhere", f"{above}/{name}")
    with project_directory.opened(dot_flox, *names, "cache"):  # a link of root's
        pass
    os.chown(f"{above}/{name}", STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(OSError, match="a link of uid") as caught:
        made(dot_flox, *names, "log")
    assert caught.value.filename == f"{above}/{name}"
    assert os.listdir(tmp_path / "elsewhere") == ["cache"]
    for path in (dot_flox, tmp_path / "elsewhere"):
        os.chown(path, STRANGER, STRANGER)
    made(dot_flox, *names, "log")
    assert (tmp_path / "elsewhere/log").stat().st_uid == STRANGER


def test_a_project_that_has_become_a_link_is_not_followed(dot_flox, tmp_path):
    """The path of a project is resolved before, so a link in it was put there by somebody in between."""
    os.rename(tmp_path / "project", tmp_path / "elsewhere")
    os.symlink("elsewhere", tmp_path / "project")
    with pytest.raises(OSError, match="it is a link") as caught:
        made(dot_flox, "cache")
    assert caught.value.filename == str(tmp_path / "project")
    assert os.listdir(tmp_path / "elsewhere/.flox") == []
