"""The project's own files in an image: what git tracks, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from esker.errors import ImageError
from esker.ship.content.project_files import project_files

VARIABLES = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


@pytest.fixture
def add(project):
    """Give a function that writes files which git tracks."""

    def added(**files):
        for name, content in files.items():
            path = project / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        subprocess.run(["git", "add", "--all"], cwd=project, check=True)

    return added


def files(project, declared):
    return project_files(str(project), declared, VARIABLES)


def test_tracked_files_alone_enter(project, add):
    """What git does not track stays here, and is told unless it is ignored; modes are 0644 or 0755."""
    add(src__a="a", src__b="b", other="o")
    (project / "src/a").chmod(0o4711)
    (project / "src/secret").write_text("s")
    (project / ".gitignore").write_text("*.log\n")
    (project / "src/x.log").write_text("l")
    (project / "src/logs").mkdir()
    (project / "src/logs/x.log").write_text("l")
    found = files(project, {"/app": ["src"]})
    assert {entry.path: entry.mode for entry in found.entries} == {"/app/src/a": 0o755, "/app/src/b": 0o644}
    assert found.left_out == ("src/secret",)


def test_nothing_of_flox_enters(project, add):
    """The locks say what the image is: they cannot be in it."""
    add(a="a", **{".flox__env.json": "{}"})
    assert [entry.path for entry in files(project, {"/app": ["."]}).entries] == ["/app/a"]
    for path in (".flox", ".flox/env.json"):
        with pytest.raises(ImageError, match=f"`{re.escape(path)}` never enters an image") as caught:
            files(project, {"/app": ["a", path]})
        assert caught.value.hint == "take it out of `files` of [plugins.esker.image]"


def test_files_of_another_directory_of_the_repository(project, add):
    """They lie in the image without the `..` before them; what git does not track there, and `.flox`, stay here."""
    add(src__a="a", image__own="o", **{"src__.flox__image.lock": "{}"})
    (project / "src/secret").write_text("s")
    found = files(project / "image", {"/app": ["../src", "own"]})
    assert [entry.path for entry in found.entries] == ["/app/src/a", "/app/own"]
    assert found.left_out == ("../src/secret",)


def test_two_files_in_one_place(project, add):
    """Neither wins silently."""
    add(src__a="a", image__src__a="b")
    with pytest.raises(ImageError, match=r"`src/a` and `\.\./src/a` would both be `/app/src/a` in the image"):
        files(project / "image", {"/app": ["src", "../src"]})


def test_files_outside_of_the_repository(project, add, tmp_path):
    """Git lists none, and the error does not say that there is no repository."""
    add(a="a")
    (tmp_path / "outside").write_text("o")
    with pytest.raises(ImageError, match=r"`\.\./outside` is not in the project's git repository"):
        files(project, {"/app": ["../outside"]})


def test_a_file_that_git_does_not_track(project, add):
    """A declared path of which git tracks nothing is an error that says how to add it."""
    add(a="a")
    (project / "b").write_text("b")
    with pytest.raises(ImageError, match="git tracks no file `b`") as caught:
        files(project, {"/app": ["a", "b"]})
    assert caught.value.hint == "add it: git add b"
    for name, hint in (("*", "patterns are not taken: "), ("c", "correct its name"), ("srx/x", "correct its name")):
        with pytest.raises(ImageError) as caught:
            files(project, {"/app": [name]})
        assert caught.value.hint.startswith(hint)
    add(**{"inner/public": "p"})
    with pytest.raises(ImageError, match="git tracks no file `inner/pubic`") as caught:
        files(project, {"/app": ["inner/pubic"]})
    assert caught.value.hint == "did you mean `public`?"


def test_no_repository(tmp_path):
    """Without git nobody can tell which files belong to the project."""
    with pytest.raises(ImageError, match="no git repository"):
        files(tmp_path, {"/app": ["a"]})


def test_a_repository_of_another_user(project, add):
    """Git reads none, as in a container of CI; the advice is to trust it, and not to make another one."""
    add(src__a="a")
    other = VARIABLES | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    with pytest.raises(ImageError, match="its repository belongs to another user") as caught:
        project_files(str(project), {"/app": ["src"]}, other)
    assert "git config --global --add safe.directory PATH" in caught.value.hint


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "../../app-other/x"])
def test_a_link_that_leaves_the_tree(project, add, target):
    """A link may lead to what is beside it, and not out of the place that was declared."""
    (project / "src").mkdir()
    os.symlink("a", project / "src/good")
    add(src__a="a")
    assert "/app/src/good" in {entry.path for entry in files(project, {"/app": ["src"]}).entries}
    os.symlink(target, project / "src/bad")
    add()
    with pytest.raises(ImageError, match="the link `src/bad` leads out of `/app`"):
        files(project, {"/app": ["src"]})


def test_a_directory_that_has_become_a_link(project, add, tmp_path):
    """A link in the place of a tracked directory would bring files from anywhere."""
    add(src__a="a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a").write_text("secret")
    subprocess.run(["rm", "-r", "src"], cwd=project, check=True)
    os.symlink(tmp_path / "elsewhere", project / "src")
    with pytest.raises(ImageError, match="a directory above `src/a` has become a link"):
        files(project, {"/app": ["src"]})


def test_a_file_that_is_something_else_now(project, add):
    """A pipe, or nothing at all, in the place of a tracked file is refused by name."""
    add(a="a", b="b")
    (project / "a").unlink()
    with pytest.raises(ImageError, match="git tracks `a`, but it is gone"):
        files(project, {"/app": ["a"]})
    os.mkfifo(project / "a")
    with pytest.raises(ImageError, match="`a` is no regular file"):
        files(project, {"/app": ["a"]})


def test_a_submodule(project, add):
    """The files of a submodule are in no list of this repository."""
    add(a="a")
    commit = "1" * 40
    subprocess.run(["git", "update-index", "--add", "--cacheinfo", f"160000,{commit},sub"], cwd=project, check=True)
    with pytest.raises(ImageError, match="`sub` is a submodule"):
        files(project, {"/app": ["sub"]})
