"""Which files decide about what git tracks and ignores: those that say something now, and those that may appear."""

from __future__ import annotations

import os
import subprocess

import pytest

from esker.ship.content.watched_files import watched_files


@pytest.fixture
def home(tmp_path):
    """Give the directory of a user."""
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


@pytest.fixture
def project(tmp_path):
    """Give a project in a directory of a repository, with a tracked file."""
    directory = tmp_path / "repository/project"
    (directory / "src").mkdir(parents=True)
    (directory / "src/a").write_text("a")
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=directory.parent, check=True)
    return directory


@pytest.fixture
def watched(project, home):
    """Give a function that returns what is watched below the directory of the test, by its path there, and the rest."""

    def listed(**variables):
        paths = watched_files(str(project), ["src"], {"PATH": os.environ["PATH"], "HOME": str(home), **variables})
        assert all(map(os.path.isabs, paths))
        return {os.path.normpath(path).removeprefix(f"{home.parent}/") for path in paths}

    return listed


REPOSITORY = {
    *("repository/.git/index", "repository/.git/info/exclude", "repository/.git/config"),
    *("repository/.gitignore", "repository/project/.gitignore", "repository/project/src/.gitignore"),
    *("repository/project/src", "repository/project/src/a"),
}
USUAL = {"home/.gitconfig", "home/.config/git/config", "home/.config/git/ignore", "/etc/gitconfig"}


def test_what_is_there_and_what_may_appear(watched):
    """Without any configuration of the user, the usual places are watched."""
    assert watched() == REPOSITORY | USUAL
    elsewhere = watched(XDG_CONFIG_HOME="/elsewhere")
    assert {"/elsewhere/git/config", "/elsewhere/git/ignore", "home/.gitconfig"} < elsewhere


def test_what_the_configuration_names(watched, home):
    """The file that git ignores by, from a file that another includes; a link is watched with what it leads to."""
    (home / "dotfiles").mkdir()
    (home / "dotfiles/gitconfig").write_text("[include]\n\tpath = dotfiles/more\n")
    (home / "dotfiles/more").write_text("[core]\n\texcludesFile = ~/ignored\n")
    (home / "ignored").symlink_to("dotfiles/ignored")
    (home / ".gitconfig").symlink_to("dotfiles/gitconfig")
    found = watched()
    assert {"home/ignored", "home/dotfiles/ignored", "home/.gitconfig", "home/dotfiles/gitconfig"} < found
    assert "home/dotfiles/more" in found
    assert "home/.config/git/ignore" not in found


def test_a_relative_file_lies_in_the_repository(watched, project):
    """Git looks for it from the top."""
    subprocess.run(["git", "config", "core.excludesFile", "ignored"], cwd=project, check=True)
    assert "repository/ignored" in watched()


def test_another_file_in_place_of_the_users(watched, home):
    """The variables by which git reads other files decide which are watched."""
    (home / "system").write_text("[core]\n\texcludesFile = /of-the-system\n")
    found = watched(GIT_CONFIG_GLOBAL=f"{home}/global", GIT_CONFIG_SYSTEM=f"{home}/system")
    assert found == REPOSITORY | {"home/global", "home/system", "/of-the-system"}
