"""The project's pyproject.toml as a part of a change: what others write meanwhile, and failures halfway."""

from __future__ import annotations

import json
import os
import stat

import pytest

from esker.errors import HostError, NotFound
from esker.progress import Silent
from esker.runtimes.native.change import Texts, change
from esker.runtimes.native.packages import install
from esker.runtimes.native.project_file import ProjectFile
from esker.settings import Settings

MANIFEST = 'schema-version = "1.14.0"\n[plugins.esker.python]\nproject = "pyproject.toml"\n'


@pytest.fixture
def project(tmp_path):
    """Give the directory of a project whose manifest names its pyproject.toml."""
    tmp_path /= "project"
    (tmp_path / ".flox/env").mkdir(parents=True)
    (tmp_path / ".flox/env.json").write_text(json.dumps({"name": "p", "version": 1}))
    (tmp_path / ".flox/env/manifest.toml").write_text(MANIFEST)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "p"\n')
    return tmp_path


def test_what_somebody_else_has_written_meanwhile_is_kept(project, environ):
    """An edit was made from an older text than the file has: nothing is written."""
    path = project / "pyproject.toml"
    file = ProjectFile(str(path), path.read_text())
    path.write_text("# theirs\n" + file.before)
    texts = Texts(MANIFEST + 'groups = ["dev"]\n', file.before + "# ours\n", file)
    for effect in ("write", "install"):
        with pytest.raises(HostError, match="was changed by somebody else") as caught:
            change(str(project), texts, Settings(environ), effect=effect, progress=Silent())
        assert caught.value.hint
    assert path.read_text() == "# theirs\n" + file.before
    assert (project / ".flox/env/manifest.toml").read_text() == MANIFEST


def test_a_failure_after_the_rename_puts_the_old_text_back(project):
    """The mode is that of before, and nothing is left beside the file."""
    path = project / "pyproject.toml"
    path.chmod(0o640)
    file = ProjectFile(str(path), path.read_text())

    def fail_after_the_rename():
        with file.restored_on_failure("new\n"):
            with file.replaced("new\n"):
                assert path.read_text() == file.before
            assert path.read_text() == "new\n"
            raise ChildProcessError

    with pytest.raises(ChildProcessError):
        fail_after_the_rename()
    assert path.read_text() == file.before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(project)) == [".flox", "pyproject.toml"]


def test_a_pyproject_that_is_gone(project, environ):
    """The message names the key that names it."""
    (project / "pyproject.toml").unlink()
    with pytest.raises(NotFound, match=r"named by `project` in .*, is not there"):
        install(str(project), MANIFEST, ["app"], Settings(environ), progress=Silent())
    assert sorted(os.listdir(project)) == [".flox"]
