"""The cache of what tests need and what is large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import debian, roots
from tests.support.children import Child, killed_at_each_step
from tests.support.roots import Root


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Give an empty cache, the only one."""
    monkeypatch.setattr(roots, "_cache_directories", lambda: [tmp_path / "cache"])
    return tmp_path / "cache"


@pytest.fixture
def recipe(tmp_path):
    """Give the file whose text is the recipe of the roots here."""
    path = tmp_path / "recipe"
    path.write_text("first")
    return path


def _write(made, scratch):
    (scratch / "working").write_text("")
    (made / "file").write_text("content")


def _never(made, scratch):
    raise AssertionError("it is made already")


def test_a_root_is_made_once(cache, recipe):
    """The second time it is found; nothing else stays in the cache but the lock."""
    path = Root(_write, (recipe,)).path()
    assert (path / "file").read_text() == "content"
    assert Root(_never, (recipe,)).path() == path
    assert sorted(each.name for each in cache.iterdir()) == [f".{path.name}.lock", path.name]


def test_another_recipe_makes_another_root(cache, recipe):
    """The text decides, of a file or of any file in a directory."""
    (recipe.parent / "more").mkdir()
    root = Root(_write, (recipe, recipe.parent / "more"))
    paths = {root.path()}
    recipe.write_text("second")
    paths.add(root.path())
    (recipe.parent / "more/file").write_text("")
    paths.add(root.path())
    assert len(paths) == 3


def test_a_failure_leaves_nothing(cache, recipe):
    """What was made so far is removed, and the next call begins again."""

    def fail(made, scratch):
        _write(made, scratch)
        raise RuntimeError("no mirror")

    with pytest.raises(RuntimeError, match="no mirror"):
        Root(fail, (recipe,)).path()
    assert [each.suffix for each in cache.iterdir()] == [".lock"]
    assert (Root(_write, (recipe,)).path() / "file").exists()


def test_a_killed_run_leaves_nothing_half_made(cache, recipe):
    """Wherever it is killed, a root is there whole or not at all, and the next run clears what is left."""
    root = Root(_write, (recipe,))
    for _ in killed_at_each_step(root.path):
        assert not (cache / root.key).exists() or (cache / root.key / "file").read_text() == "content"
        assert (root.path() / "file").read_text() == "content"
        assert sorted(each.suffix for each in cache.iterdir()) == ["", ".lock"]
        (cache / root.key / "file").unlink()
        (cache / root.key).rmdir()


def test_two_runs_make_one_root(cache, recipe, tmp_path):
    """The second waits for the first, and makes nothing."""
    count = tmp_path / "count"

    def counted(made, scratch):
        with open(count, "a") as file:
            file.write("made\n")
        _write(made, scratch)

    children = [Child(Root(counted, (recipe,)).path) for _ in range(4)]
    assert len({child.result() for child in children}) == 1
    assert count.read_text() == "made\n"


def test_an_unknown_root_is_an_error_that_names_the_roots():
    """The command says what it can make."""
    command = [sys.executable, "-m", "tests.support.roots", "imges"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        "there is no root `imges`\nhint: the roots are base, ci_machine, ci_programs, ci_wheels, conda, desktop, docker, image-tools, images, sid, static, sysroot"
        in done.stderr
    )


def test_the_mirror_is_that_of_the_release_of_this_machine(monkeypatch):
    """Sources of others are not taken for Debian's, and a machine without one is told."""
    lines = "cloud-sdk-bookworm http://example.org/apt/\nbookworm http://mirror.example/debian/\nbookworm-security http://x.example/\n"
    monkeypatch.setattr(debian.platform, "freedesktop_os_release", lambda: {"VERSION_CODENAME": "bookworm"})
    monkeypatch.setattr(debian.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=lines))
    assert debian.mirror() == "http://mirror.example/debian/"
    monkeypatch.setattr(debian.platform, "freedesktop_os_release", lambda: {"VERSION_CODENAME": "trixie"})
    with pytest.raises(RuntimeError, match="no source of apt on this machine has Debian trixie"):
        debian.mirror()
