from __future__ import annotations

import json
import os

import pytest

from esker.host import state_file

RECORD = {"version": 2, "a": ["b"]}
STRANGER = 12345


@pytest.fixture
def path(tmp_path):
    """A state file of ours."""
    file = tmp_path / "state.json"
    file.write_text(json.dumps(RECORD))
    file.chmod(0o600)
    return str(file)


def test_a_file_of_ours_is_read(path):
    """With its version, or without asking for one."""
    assert state_file.read(path) == state_file.read(path, version=2) == state_file.load(path) == RECORD
    assert state_file.read(path, version=1) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000], ids=repr)
def test_a_damaged_file_says_nothing(path, data):
    """What is no JSON, or no object, is None to a reader and ValueError to a loader."""
    with open(path, "wb") as file:
        file.write(data)
    assert state_file.read(path) is None
    assert state_file.parse(data) is None
    with pytest.raises(ValueError, match=r"state\.json"):
        state_file.load(path)


def test_a_missing_file_says_nothing(path):
    """The loader says that it is missing."""
    assert state_file.read(f"{path}/..") is None
    assert state_file.read(f"{path}.gone", as_directory=True) is None
    with pytest.raises(FileNotFoundError):
        state_file.load(f"{path}.gone")


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(path, tmp_path):
    """Only a plain file in its place is one of ours; a directory is none."""
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        assert state_file.read(f"{tmp_path}/{name}") is None
    with pytest.raises(OSError, match="it is not a regular file"):
        state_file.load(f"{tmp_path}/pipe")


def test_a_file_that_others_may_write_is_not_believed(path):
    """By group or by all."""
    for mode in (0o620, 0o602):
        os.chmod(path, mode)
        assert state_file.read(path) is None
    with pytest.raises(OSError, match="others may write to it"):
        state_file.load(path)


def test_a_file_that_is_too_large_is_not_read(path, monkeypatch):
    """A limit keeps a hostile file from filling the memory."""
    monkeypatch.setattr(state_file, "_LARGEST", len(json.dumps(RECORD)))
    assert state_file.read(path) == RECORD
    monkeypatch.setattr(state_file, "_LARGEST", len(json.dumps(RECORD)) - 1)
    assert state_file.read(path) is None
    with pytest.raises(OSError, match="it has more than"):
        state_file.load(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_user_s_file_is_not_believed(path, tmp_path):
    """Unless its owner is named, or owns the directory too, as in a project that root works in."""
    os.chown(path, STRANGER, -1)
    assert state_file.read(path) is None
    assert state_file.read(path, as_directory=True) is None
    with pytest.raises(OSError, match=f"it belongs to uid {STRANGER}"):
        state_file.load(path)
    assert state_file.load(path, owners=[STRANGER]) == RECORD
    os.chown(tmp_path, STRANGER, -1)
    assert state_file.read(path, as_directory=True) == RECORD
