"""The keys that say when a project is built again, read without git and told apart by content."""

from __future__ import annotations

import os
import subprocess

import pytest

from esker.errors import InvalidFile
from esker.lock.cache_keys import CacheKey, cache_keys, digest, watched

GIT = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]


def git(directory, *words):
    """Run git in a directory."""
    subprocess.run(["git", "-C", str(directory), *GIT, *words], check=True, capture_output=True)


def test_the_default_is_the_file_itself_and_setuptools_own():
    """Without `cache-keys`, three files count; with them, the pyproject.toml counts all the same."""
    assert [key.value for key in cache_keys(None, "p")] == ["pyproject.toml", "setup.py", "setup.cfg"]
    assert cache_keys([{"file": "a"}, {"git": True}, {"env": "X"}, {"dir": "src"}], "p") == (
        CacheKey("file", "pyproject.toml"),
        CacheKey("file", "a"),
        CacheKey("commit"),
        CacheKey("env", "X"),
        CacheKey("dir", "src"),
    )
    assert cache_keys([{"git": {"tags": True, "commit": False}}], "p")[1:] == (CacheKey("tags"),)


@pytest.mark.parametrize("wrong", ["a", 1, [1], [{}], [{"fiel": "a"}], [{"file": ""}], [{"git": {"branch": True}}]])
def test_what_is_no_key_is_refused(wrong):
    """A misspelt key would be one that is never noticed."""
    with pytest.raises(InvalidFile, match=r"`cache-keys` of \[tool\.uv\]"):
        cache_keys(wrong, "pyproject.toml")


def test_a_variable_counts_by_its_value(tmp_path):
    """A key of the kind `env` is part of the state."""
    keys = (CacheKey("env", "X"),)
    states = {digest(str(tmp_path), keys, variables) for variables in ({}, {"X": ""}, {"X": "1"}, {"Y": "1"})}
    assert len(states) == 3


def test_a_pipe_among_the_keys_is_not_waited_for(tmp_path):
    """In place of a file that is named it counts as no file, and in place of one of git's as empty."""
    keys = (CacheKey("file", "version.txt"), CacheKey("commit"))
    (tmp_path / ".git").mkdir()
    without = digest(str(tmp_path), keys, {})
    for name in ("version.txt", ".git/HEAD", ".git/commondir", ".git/packed-refs"):
        os.mkfifo(tmp_path / name)
    assert digest(str(tmp_path), keys, {}) == without


def test_the_commit_is_found_in_each_kind_of_work_tree(tmp_path):
    """A branch, a detached head, packed refs and a further work tree tell the same commit."""
    main, other = tmp_path / "main", tmp_path / "other"
    main.mkdir()
    git(main, "init", "-q", "-b", "trunk")
    git(main, "commit", "-q", "--allow-empty", "-m", "one")
    keys = (CacheKey("commit"),)
    states = {digest(str(main), keys, {})}
    git(main, "worktree", "add", "-q", "-b", "side", str(other))
    states.add(digest(str(other), keys, {}))
    git(main, "pack-refs", "--all")
    states.add(digest(str(main), keys, {}))
    git(main, "checkout", "-q", "--detach")
    (main / "deep").mkdir()
    states.add(digest(str(main / "deep"), keys, {}))
    assert len(states) == 1
    looked_at = watched(str(other), keys)
    git(other, "commit", "-q", "--allow-empty", "-m", "two")
    assert digest(str(other), keys, {}) not in states
    assert f"{main}/.git/refs/heads/side" in looked_at


def test_a_tag_counts_as_it_is_loose_or_packed(tmp_path):
    """A tag is the same after it was packed, and another one is another state."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    keys = (CacheKey("tags"),)
    none = digest(str(tmp_path), keys, {})
    git(tmp_path, "tag", "v1")
    one = digest(str(tmp_path), keys, {})
    git(tmp_path, "pack-refs", "--all")
    assert digest(str(tmp_path), keys, {}) == one != none


def test_the_directories_of_a_pattern_are_watched(tmp_path):
    """A file that comes later is noticed, because the directory in which it appears is looked at."""
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/a.c").write_text("")
    found = watched(str(tmp_path), (CacheKey("file", "src/**/*.c"), CacheKey("file", "*/b.h")))
    assert found == [f"{tmp_path}/{name}" for name in ("src/a.c", "src", "src/deep")]
