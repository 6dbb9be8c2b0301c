"""What the first activation meets when it prepares a project that is not its own."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import pytest

from esker.errors import HostError
from esker.host import trees
from esker.runtimes.native import runtime as native
from esker.settings import Settings
from tests.support.children import Child
from tests.support.projects import write_project


@pytest.fixture
def roots():
    """Give a project of root's, where other users may look."""
    if os.geteuid() != 0:
        pytest.skip("a project of another user needs root")
    project = pathlib.Path(tempfile.mkdtemp(prefix="esker-roots-", dir="/tmp"))
    write_project(project)
    for path in (project, project / ".flox", project / ".flox/env"):
        path.chmod(0o755)
    yield project
    trees.remove_tree(str(project))


@pytest.mark.parametrize(
    "made", [[], ["cache"], ["cache", "cache/esker"], ["cache", "cache/esker", "cache/esker/prepare.lock"]]
)
def test_an_ordinary_user_in_roots_project_is_told_what_to_do(roots, made):
    """However far root has come there: a clone of one's own, or the project from root."""
    shutil.copytree(roots, roots / "other")  # what is imported on the way may not be that user's to read
    native.prepare(str(roots / "other"), Settings({"ESKER_STORE": f"{roots}/other/store"}))
    for name in made:
        path = roots / ".flox" / name
        path.touch(0o600) if name.endswith("lock") else path.mkdir(0o755)

    def refused():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(HostError) as caught:
            native.prepare(str(roots), Settings({"ESKER_STORE": f"{roots}/store"}))
        return caught.value.hint

    hint = Child(refused).result()
    assert "belongs to uid 0, and this process runs as uid 65534; work in a clone of your own" in hint
    assert hint.endswith(f": chown -R 65534 {roots}")
