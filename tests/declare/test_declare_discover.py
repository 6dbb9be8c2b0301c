from __future__ import annotations

import os
import subprocess
import sys

import pytest

from esker.declare.discover import find
from esker.errors import NotFound, UsageError
from esker.runtimes.registry import find_project


def test_here(tmp_path):
    """A directory with a .flox is the project, asked for or not, in a repository or not."""
    (tmp_path / ".flox").mkdir()
    assert find(str(tmp_path), explicit=True) == find(str(tmp_path), explicit=False) == str(tmp_path)


@pytest.mark.parametrize("git", ["directory", "file"])
def test_upwards_within_a_repository(tmp_path, git):
    """Within a repository the nearest .flox upwards is meant; a worktree's .git is a file."""
    (tmp_path / ".git").mkdir() if git == "directory" else (tmp_path / ".git").write_text("gitdir: elsewhere")
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (tmp_path / ".flox").mkdir()
    assert find(str(deep), explicit=False) == str(tmp_path)
    (tmp_path / "a" / ".flox").mkdir()
    assert find(str(deep), explicit=False) == str(tmp_path / "a")


def test_not_beyond_the_repository(tmp_path):
    """A .flox above the top level, or above a directory outside any repository, is somebody else's."""
    (tmp_path / ".flox").mkdir()
    repository = tmp_path / "repository" / "deep"
    repository.mkdir(parents=True)
    for directory in (repository, repository.parent):
        with pytest.raises(NotFound, match=r"Did not find an environment in the current directory\.") as caught:
            find(str(directory), explicit=False)
        above = f"or name the one in `{tmp_path}`, which is above, and this is no git repository: -d {tmp_path}"
        assert caught.value.hint == f"create one: esker init; {above}"
    (repository.parent / ".git").mkdir()
    with pytest.raises(NotFound) as caught:
        find(str(repository), explicit=False)
    assert caught.value.hint.endswith(
        f"or name the one in `{tmp_path}`, which lies outside this repository: -d {tmp_path}"
    )


def test_another_declaration_above_is_named(tmp_path):
    """Outside a repository it is not used, but the error says where it is; unless a manifest is needed."""
    (tmp_path / "src").mkdir()
    (tmp_path / "requirements.txt").write_text("")
    with pytest.raises(NotFound) as caught:
        find_project(str(tmp_path / "src"), explicit=False)
    assert caught.value.hint.endswith(f"-d {tmp_path}")
    with pytest.raises(NotFound) as caught:
        find(str(tmp_path / "src"), explicit=False)
    assert caught.value.hint == "create one: esker init"


def test_a_named_directory_is_meant_itself(tmp_path):
    """With a directory named, nothing above it is looked at, and the message names it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".flox").mkdir()
    (tmp_path / "deep").mkdir()
    with pytest.raises(NotFound) as caught:
        find(str(tmp_path / "deep"), explicit=True)
    assert caught.value.message == f"Did not find an environment in `{tmp_path}/deep`"
    assert f"esker init -d {tmp_path}/deep" in caught.value.hint
    with pytest.raises(NotFound, match="there is no directory"):
        find(str(tmp_path / "nowhere"), explicit=True)

    (tmp_path / ".flox" / "env.json").write_text("{}")
    with pytest.raises(NotFound) as caught:
        find(str(tmp_path / ".flox"), explicit=True)
    assert caught.value.hint == f"name the directory that it lies in: -d {tmp_path}"


@pytest.mark.parametrize("file", ["flake.nix", "shell.nix", "pyproject.toml", "requirements.txt"])
def test_a_project_of_another_tool_has_no_manifest(tmp_path, file):
    """The message names what declares the environment, and the hint can be pasted into a shell."""
    project = tmp_path / "my project"
    project.mkdir()
    (project / file).write_text("")
    with pytest.raises(NotFound) as caught:
        find(str(project), explicit=True)
    assert caught.value.message.endswith(f"which this command needs: its environment is that of `{file}`")
    assert caught.value.hint == f"make a manifest: esker init -d '{project}'"


def test_an_empty_name_is_not_this_directory(tmp_path, monkeypatch):
    """Where a variable was empty, nobody meant the directory that happens to be the current one."""
    (tmp_path / ".flox").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the path of the project is empty"):
        find("", explicit=True)


def test_a_directory_that_is_gone_is_told(tmp_path, monkeypatch):
    """What begins at the current directory, when somebody has removed it."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for path in (".", "sub", ".."):
        with pytest.raises(NotFound, match="the current directory does not exist any more"):
            find(path, explicit=True)


def test_links_are_resolved(tmp_path):
    """Through a link the project is where it really lies; a file named .flox is no environment."""
    (tmp_path / "real" / ".flox").mkdir(parents=True)
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert find(str(tmp_path / "link"), explicit=False) == str(tmp_path / "real")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".flox").write_text("")
    with pytest.raises(NotFound):
        find(str(tmp_path / "other"), explicit=True)


def test_imports_only_os(tmp_path):
    """Finding a project and checking its owner, which every activation does, load no module but `os` and themselves."""
    (tmp_path / ".flox").mkdir()
    program = (
        "import os, sys; before = set(sys.modules)\n"
        "from esker.declare import discover, trust\nfrom esker.settings import Settings\n"
        "trust.check(discover.find(sys.argv[1], explicit=False), Settings({}))\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert loaded == [
        "__future__",
        "esker",
        "esker.declare",
        "esker.declare.discover",
        "esker.declare.trust",
        "esker.formats",
        "esker.formats.systems",
        "esker.settings",
    ]
