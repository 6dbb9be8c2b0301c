"""The `.venv` of a Python project is made and filled by uv, and what a person has made is never taken away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from esker.errors import ActivationFailed, InvalidFile, VenvFailed
from esker.host.uv import uv_program
from esker.runtimes.venv import directory
from esker.runtimes.venv.filling import fill
from esker.runtimes.venv.project import python_project
from esker.settings import Settings
from tests.support.build_backend import add_backend

pytestmark = pytest.mark.slow

_PYTHON = "{}.{}".format(*sys.version_info)


class Told:
    """A listener that keeps the remarks."""

    def __init__(self):
        self.remarks = []

    def __getattr__(self, name):
        return self.remarks.append if name == "remark" else lambda *_args, **_keywords: None


@pytest.fixture
def project(tmp_path, index):
    """Give a directory, and an index with three packages."""
    index.add("tiny", "1.0")
    index.add("other", "1.0")
    index.add("tester", "1.0", scripts={"tester": "tester:run"})
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
def filled(project, environ):
    """Give a function that fills the project's environment, and returns the modules in it and what was told."""

    def call(**variables):
        told = Told()
        fill(python_project(str(project)), Settings(environ | variables), told)
        names = os.listdir(directory.site_packages(f"{project}/.venv"))
        return sorted(name[:-3] for name in names if name.endswith(".py") and not name.startswith("_")), told.remarks

    return call


def uv(project, environ, *arguments):
    subprocess.run([uv_program(), *arguments], cwd=project, env=environ, check=True, capture_output=True)


def test_requirements(project, filled):
    """A requirements file is installed, and installed again after a change; another interpreter is not needed."""
    (project / "requirements.txt").write_text("tiny\n")
    assert filled() == (["tiny"], [])
    assert directory.release(f"{project}/.venv") == sys.version_info[:2]
    (project / "requirements.txt").write_text("tiny\nother\n")
    assert filled() == (["other", "tiny"], [])


def test_a_project_that_is_no_package(project, filled):
    """Its dependencies and its group `dev` are installed, and no lock is written into the project."""
    (project / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\ndependencies = ["tiny"]\n[dependency-groups]\ndev = ["tester"]\n'
    )
    (project / "requirements.txt").write_text("other\n")
    assert filled() == (["tester", "tiny"], [])
    assert sorted(os.listdir(project)) == [".venv", "pyproject.toml", "requirements.txt"]


def test_a_project_that_is_a_package(project, filled, index):
    """The project itself is installed too, so that it can be edited in place."""
    add_backend(index)
    (project / "src").mkdir()
    (project / "src/mine.py").write_text("")
    (project / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1"\ndependencies = ["other"]\n'
        '[build-system]\nrequires = ["tiny"]\nbuild-backend = "tiny"\n'
    )
    assert filled()[0] == ["other"]
    done = subprocess.run(
        [project / ".venv/bin/python", "-c", "import mine; print(mine.__file__)"], capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == f"{project}/src/mine.py"


def test_a_uv_lock(project, filled, environ):
    """What the lock says is installed, whatever pyproject.toml says by now; what it no longer says is removed."""
    pyproject = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.7"\ndependencies = [{}]\n'
    (project / "pyproject.toml").write_text(pyproject.format('"tiny"'))
    uv(project, environ, "lock")
    assert filled() == (["tiny"], [])
    (project / "pyproject.toml").write_text(pyproject.format('"other"'))
    assert filled() == (["tiny"], [])
    uv(project, environ, "lock")
    assert filled() == (["other"], [])


def test_a_file_for_tools_alone(project, filled):
    """A pyproject.toml without a project installs nothing; requirements beside it count."""
    (project / "pyproject.toml").write_text("[tool.ruff]\n")
    assert filled() == ([], [])
    (project / "requirements.txt").write_text("tiny\n")
    assert filled() == (["tiny"], [])


def test_an_environment_made_by_hand_is_used_as_it_is(project, filled, environ):
    """Nothing is installed into it and nothing removed, and a remark says so; that of `python -m venv` and of uv alike."""
    (project / "requirements.txt").write_text("tiny\n")
    uv(project, environ, "venv", "--python", sys.executable)
    uv(project, environ, "pip", "install", "other")
    remark = (
        f"`{project}/.venv` was not made by Esker, so it is used as it is, and nothing of requirements.txt is installed "
        "into it"
    )
    assert filled() == (["other"], [remark])
    shutil.rmtree(project / ".venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    (project / "uv.lock").write_text("")
    (project / "pyproject.toml").write_text("")
    assert filled() == ([], [remark.replace("requirements.txt", "uv.lock")])


def test_an_environment_of_uv_sync_gets_what_the_lock_says(project, filled, environ):
    """A person who uses uv has it synchronised, as by each `uv run`, but nothing is removed."""
    pyproject = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.7"\ndependencies = [{}]\n'
    (project / "pyproject.toml").write_text(pyproject.format(""))
    uv(project, environ, "sync", "--python", sys.executable)
    uv(project, environ, "pip", "install", "other")
    (project / "pyproject.toml").write_text(pyproject.format('"tiny"'))
    uv(project, environ, "lock")
    assert filled() == (["other", "tiny"], [])


def test_the_python_of_the_project(project, filled):
    """A version file and `requires-python` are both obeyed; what is not here is an error that lists what is."""
    (project / ".python-version").write_text(f"{_PYTHON}\n")
    (project / "pyproject.toml").write_text(f'[project]\nname = "p"\nversion = "1"\nrequires-python = ">={_PYTHON}"\n')
    assert filled() == ([], [])
    assert directory.release(f"{project}/.venv") == sys.version_info[:2]
    (project / ".python-version").write_text("3.99\n")
    with pytest.raises(VenvFailed) as caught:
        filled()
    message = rf"A Python (`==3.99.*,>={_PYTHON}`) is not on this machine; found: "
    assert caught.value.message.startswith(f"cannot make `{project}/.venv`: {message}")
    assert "ESKER_PYTHON" in caught.value.hint
    assert (project / ".venv/pyvenv.cfg").exists()


def test_our_environment_is_made_anew_for_another_python(project, filled):
    """Where Esker has made it, one whose Python is gone or too old is replaced."""
    (project / "requirements.txt").write_text("tiny\n")
    filled()
    (project / ".venv/left").write_text("")
    (project / ".venv/bin/python").unlink()
    assert filled() == (["tiny"], [])
    assert not (project / ".venv/left").exists()


def test_a_broken_environment_made_by_hand_stays(project, filled, environ):
    """It cannot be used, which is an error that says what a person can do; nothing is deleted."""
    (project / "requirements.txt").write_text("")
    uv(project, environ, "venv", "--python", sys.executable)
    (project / ".venv/bin/python").unlink()
    with pytest.raises(ActivationFailed, match="its Python is gone") as caught:
        filled()
    assert "rm -r" in caught.value.hint
    assert (project / ".venv/pyvenv.cfg").exists()
    shutil.rmtree(project / ".venv")
    (project / ".venv").mkdir()
    (project / ".venv/mine").write_text("")
    with pytest.raises(VenvFailed, match="is there already, and it is no virtual environment"):
        filled()
    assert (project / ".venv/mine").exists()


def test_an_environment_by_hand_for_another_python_than_the_locks(project, filled, environ):
    """uv would delete it; here it is an error."""
    uv(project, environ, "venv", "--python", sys.executable)
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.99"\n')
    (project / "uv.lock").write_text("")
    with pytest.raises(ActivationFailed, match=r"it is for Python 3\..*, and the project needs `>=3\.99`"):
        filled()


def test_a_broken_pyproject(project, filled):
    """The mistake is named with its line."""
    (project / "pyproject.toml").write_text("[project]\nname = \n")
    with pytest.raises(InvalidFile) as caught:
        filled()
    assert caught.value.lines()[0].startswith(f"{project}/pyproject.toml:2: ")
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\nrequires-python = "3.x"\n')
    with pytest.raises(InvalidFile, match="`requires-python` is `3.x`, which is not a version specifier"):
        filled()
    assert not (project / ".venv").exists()


def test_what_cannot_be_installed(project, filled):
    """uv's own words are shown."""
    (project / "requirements.txt").write_text("no-such-package\n")
    with pytest.raises(VenvFailed) as caught:
        filled()
    first, *others = caught.value.lines()
    assert first.startswith(f"cannot install what requirements.txt says into `{project}/.venv`: No solution found")
    assert any("no-such-package" in line for line in others)


def test_without_a_network(project, filled):
    """It is an error with a hint, and after it nothing has to be cleared away."""
    (project / "requirements.txt").write_text("tiny\n")
    with pytest.raises(VenvFailed, match="cannot install what") as caught:
        filled(UV_OFFLINE="1")
    assert any("tiny" in line for line in caught.value.lines())
    assert filled() == (["tiny"], [])
