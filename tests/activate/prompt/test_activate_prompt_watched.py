"""What the prompt watches, and its stamps."""

from __future__ import annotations

import os
import stat

import pytest

from esker.activate.prompt import watched
from esker.settings import Settings

NOW = 2_000_000_000.0


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Give settings whose runtime directory is the test's."""
    directory = tmp_path / "esker"
    monkeypatch.setattr(watched.runtime_directory, "user_directory", lambda _: str(directory))
    return Settings({})


@pytest.fixture
def file(tmp_path):
    """Give a file that was written long ago."""
    path = tmp_path / "file"
    path.touch()
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    return path


def test_a_stamp_has_the_time_of_its_file(settings, file):
    """Each watched file has a stamp with just its time, in a directory of the user's; equal times share one."""
    seen = watched.watch("/d", [str(file), f"{file}.absent"], settings, NOW)
    assert (seen.directory, seen.absent, seen.settled) == ("/d", (f"{file}.absent",), True)
    ((path, stamp, seconds),) = seen.present
    assert (path, seconds) == (str(file), 1_234_567_890)
    assert os.stat(stamp).st_mtime_ns == os.stat(file).st_mtime_ns
    assert stat.S_IMODE(os.stat(os.path.dirname(stamp)).st_mode) == 0o700
    assert watched.watch("/", [str(file)], settings, NOW).present == seen.present


def test_a_stamp_that_was_changed_is_made_again(settings, file):
    """A stamp whose time somebody has changed would hide a change: it is made anew."""
    ((_, stamp, _),) = watched.watch("/d", [str(file)], settings, NOW).present
    os.utime(stamp, ns=(0, 5))
    watched.watch("/d", [str(file)], settings, NOW)
    assert os.stat(stamp).st_mtime_ns == os.stat(file).st_mtime_ns


@pytest.mark.parametrize(("age", "settled"), [(0, False), (1.9, False), (2.1, True), (-1, False), (-60, True)])
def test_a_young_file_is_not_settled(settings, file, age, settled):
    """What was written in the last two seconds may be written again within one tick of the clock."""
    assert watched.watch("/d", [str(file)], settings, 1_234_567_890.123456789 + age).settled is settled


def test_without_stamps_the_command_is_asked_each_time(settings, file, tmp_path):
    """Where no stamp can be made nothing fails, and nothing is relied on."""
    (tmp_path / "esker").touch()
    assert watched.watch("/d", [str(file)], settings, NOW).settled is False


def test_old_stamps_are_removed(settings, file, monkeypatch):
    """When there are many stamps, those that were made long ago go."""
    monkeypatch.setattr(watched, "_MOST_STAMPS", 3)
    monkeypatch.setattr(watched, "_DAY", -1)
    for time in range(10):
        os.utime(file, ns=(0, time))
        ((_, stamp, _),) = watched.watch("/d", [str(file)], settings, NOW).present
    assert len(os.listdir(os.path.dirname(stamp))) <= 5


def test_directories_above():
    """All directories up to the root directory are looked at, the outermost first."""
    assert watched.directories("/a/b") == ["/", "/a", "/a/b"]
    assert watched.directories("/") == ["/"]
