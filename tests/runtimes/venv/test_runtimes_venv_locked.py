"""A uv.lock that is older than what its projects declare is found, without uv and without a network."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from esker.errors import ActivationFailed, InvalidFile
from esker.host.uv import uv_command, uv_program
from esker.runtimes.venv.locked import check_lock, locked_projects
from esker.runtimes.venv.project import python_project

pytestmark = pytest.mark.slow

ROOT = """\
[project]
name = "Root"
version = "1"
requires-python = ">=3.7"
dependencies = ["tiny >=1, <2", "member ~= 1.0", "other ; sys_platform == 'win32'"]

[project.optional-dependencies]
Web = ["Tester[x] == 1.*"]
all = ["root[web]"]

[dependency-groups]
dev = ["other", {include-group = "lint"}]
lint = ["tester != 0.5.0"]

[tool.uv.workspace]
members = ["packages/*"]

[tool.uv.sources]
member = { workspace = true }
"""
MEMBER = """\
[project]
name = "member"
version = "1"
requires-python = ">=3.7"
dependencies = ["tiny"]
"""


@pytest.fixture
def root(tmp_path, index, environ):
    """Give the root of a workspace that uv has locked."""
    for name in ("tiny", "other", "tester"):
        index.add(name, "1.0")
    (tmp_path / "root/packages/member").mkdir(parents=True)
    (tmp_path / "root/pyproject.toml").write_text(ROOT)
    (tmp_path / "root/packages/member/pyproject.toml").write_text(MEMBER)
    subprocess.run([uv_program(), "lock"], cwd=tmp_path / "root", env=environ, check=True, capture_output=True)
    return tmp_path / "root"


def test_a_lock_that_matches(root):
    """Other spellings of names and specifiers, extras, groups and sources are no difference."""
    check_lock(str(root))
    (root / "pyproject.toml").write_text(ROOT.replace(">=1, <2", "<2, >=1.0").replace("Tester", "tester"))
    check_lock(str(root))
    assert sorted(locked_projects(str(root))) == [str(root), f"{root}/packages/member"]


CHANGES = {
    "added": ("pyproject.toml", '"tiny >=1, <2"', '"tiny >=1, <2", "six"', "`six` was added"),
    "removed": ("pyproject.toml", "\"other ; sys_platform == 'win32'\"", "", "`other` was removed"),
    "version": ("pyproject.toml", "<2", "<3", "the version of `tiny` was changed"),
    "extra": ("pyproject.toml", "Tester[x]", "other", "the version of `other` was changed"),
    "group": ("pyproject.toml", '"other", {', "{", "`other` was removed"),
    "member": ("packages/member/pyproject.toml", '"tiny"', '"tiny >= 1"', "the version of `tiny` was changed"),
}


@pytest.mark.parametrize(("name", "old", "new", "said"), CHANGES.values(), ids=CHANGES)
def test_a_lock_that_is_older(root, name, old, new, said):
    """The error names the file, the requirement, and what to do; every such file decides for an activation."""
    path = root / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ActivationFailed) as caught:
        check_lock(str(root))
    assert caught.value.message == f"`{root}/uv.lock` does not match `{path}`: {said}"
    assert caught.value.hint == f"lock it again, in {root}: {uv_command()} lock"
    assert str(path) in python_project(str(root)).deciding


def test_a_member_that_is_gone_or_broken(root):
    """Both are errors with the place; dependencies that only a backend can tell are not compared."""
    path = root / "packages/member/pyproject.toml"
    path.write_text(MEMBER.replace('dependencies = ["tiny"]', 'dynamic = ["dependencies"]'))
    check_lock(str(root))
    path.write_text("[project\n")
    with pytest.raises(InvalidFile) as broken:
        check_lock(str(root))
    assert broken.value.lines()[0].startswith(f"{path}:1: ")
    shutil.rmtree(path.parent)
    with pytest.raises(ActivationFailed, match=f"has the project `member` in `{path.parent}`, and there is none"):
        check_lock(str(root))
    (root / "uv.lock").write_text("version = 1\npackage = 3\n")
    assert locked_projects(str(root)) == []


def test_a_root_that_is_no_project(root, environ):
    """What its groups need is compared, too."""
    text = "[dependency-groups]\ndev = ['other']\n[tool.uv.workspace]\nmembers = ['packages/*']\n"
    (root / "pyproject.toml").write_text(text)
    subprocess.run([uv_program(), "lock"], cwd=root, env=environ, check=True, capture_output=True)
    check_lock(str(root))
    (root / "pyproject.toml").write_text(text.replace("'other'", "'other', 'tester'"))
    with pytest.raises(ActivationFailed, match=f"does not match `{root}/pyproject.toml`: `tester` was added"):
        check_lock(str(root))
