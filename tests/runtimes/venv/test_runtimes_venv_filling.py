"""The `.venv` of a Python project is made and filled by uv, and what a person has made is never taken away."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from esker.errors import ActivationFailed, EskerError, InvalidFile, VenvFailed
from esker.host.uv import uv_command, uv_program
from esker.runtimes.venv import directory
from esker.runtimes.venv.filling import fill, obstacles
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
    """What the lock says is installed, if it is not older than pyproject.toml; what it no longer says is removed."""
    pyproject = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.7"\ndependencies = [{}]\n'
    (project / "pyproject.toml").write_text(pyproject.format('"tiny"'))
    uv(project, environ, "lock")
    assert filled() == (["tiny"], [])
    (project / "pyproject.toml").write_text(pyproject.format('"other"'))
    changed = f"`{project}/uv.lock` does not match `{project}/pyproject.toml`: `other` was added"
    with pytest.raises(ActivationFailed, match=changed) as caught:
        filled()
    assert caught.value.hint == f"lock it again, in {project}: {uv_command()} lock"
    (error,) = obstacles(python_project(str(project)), Settings(environ))
    assert error.message == caught.value.message
    uv(project, environ, "lock")
    assert filled() == (["other"], [])


def test_a_file_for_tools_alone(project, filled):
    """A pyproject.toml without a project installs nothing, which a remark says; requirements beside it count."""
    (project / "pyproject.toml").write_text("[tool.ruff]\n")
    assert filled() == ([], [])
    end = "it has no [project], so nothing is installed"
    assert python_project(str(project)).remarks == (f"`{project}/pyproject.toml` only configures tools: {end}",)
    (project / "pyproject.toml").write_text('[tool.poetry.dependencies]\ntiny = "*"\n')
    (remark,) = python_project(str(project)).remarks
    assert remark == f"`{project}/pyproject.toml` declares its dependencies for Poetry alone: {end}"
    (project / "requirements.txt").write_text("tiny\n")
    assert python_project(str(project)).remarks == ()
    assert filled() == (["tiny"], [])


def test_an_environment_made_by_hand_is_used_as_it_is(project, filled, environ):
    """Nothing is installed into it and nothing removed, and a remark says so; that of `python -m venv` and of uv alike."""
    (project / "requirements.txt").write_text("tiny\n")
    uv(project, environ, "venv", "--python", sys.executable)
    uv(project, environ, "pip", "install", "other")
    remark = (
        f"`{project}/.venv` was not made by Esker, so it is used as it is, and nothing of requirements.txt is installed "
        "into it; do that with what made it, or move it away: then Esker makes one"
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
    message = f"A Python for `==3.99.*` (.python-version) and `>={_PYTHON}` (pyproject.toml) is not on this machine; found: "
    assert caught.value.message.startswith(f"cannot make `{project}/.venv`: {message}")
    assert caught.value.hint.startswith("install it, then put it on PATH as python3.99 or set ESKER_PYTHON to its path; ")
    assert caught.value.hint.endswith("; or change .python-version or pyproject.toml")
    assert (project / ".venv/pyvenv.cfg").exists()


def test_the_python_that_mise_names(project):
    """The file is one of those that name the Python, and a change of it counts."""
    (project / "mise.toml").write_text('[tools]\npython = "3.12"\n')
    (project / ".tool-versions").write_text("python 3.11\n")
    found = python_project(str(project))
    assert found.asked == ((f"{project}/mise.toml", "==3.12.*"),)
    assert f"{project}/mise.toml" in found.deciding


def test_files_that_no_python_can_meet(project, filled):
    """Each is named with what it asks for, and nothing is advised that cannot help."""
    (project / ".python-version").write_text("3.11\n")
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.12"\n')
    with pytest.raises(VenvFailed) as caught:
        filled()
    assert caught.value.message.endswith("there is no Python for `==3.11.*` (.python-version) and `>=3.12` (pyproject.toml)")
    assert caught.value.hint == "change one of these files: no version meets them all"
    (project / ".python-version").write_text("3.99.0\n")  # which may be released one day
    with pytest.raises(VenvFailed, match="is not on this machine"):
        filled()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (".python-version", "# mine\nmy-env\n", ".python-version: `my-env` is not followed: it names no version of CPython"),
        (".python-version", "pypy3.10-7.3\n3.11\n", ".python-version: `pypy3.10-7.3` is not followed: it names no"),
        (".tool-versions", "ruby x\npython latest\n", ".tool-versions:2: `python latest` is not followed: it names no"),
        ("mise.toml", '[tools]\nnode = "x"\npython = "pypy3.10"\n[env]\nA = "b"\n', "mise.toml:3: `python` is not followed: it"),
    ],
)
def test_a_version_file_that_names_no_python(project, name, text, said):
    """It is passed over, as uv does with it, but a remark says so."""
    (project / name).write_text(text)
    found = python_project(str(project))
    assert found.python == ""
    (remark,) = found.remarks
    assert remark.startswith(f"{project}/{said}")
    (project / name).write_text("")
    assert python_project(str(project)).remarks == ()


OBSTACLES = {
    "no such Python": ({"pyproject.toml": '[project]\nname = "p"\nrequires-python = ">=3.99"\n'}, r"A Python for `>=3\.99`"),
    "Python 4": ({"pyproject.toml": '[project]\nname = "p"\nrequires-python = ">=4"\n'}, r"there is no Python for `>=4`"),
    "no specifier": ({"pyproject.toml": '[project]\nname = "p"\nrequires-python = "3.x"\n'}, "`requires-python` is `3.x`"),
    "a file": ({".venv": ""}, "it is no virtual environment: it is no directory"),
    "another directory": ({".venv/mine": ""}, "it is no virtual environment: it has no `pyvenv.cfg`"),
    "a broken one": ({".venv/pyvenv.cfg": "version = 3.11.1\n"}, "cannot be used: its Python is gone"),
}


@pytest.mark.parametrize(("contents", "message"), OBSTACLES.values(), ids=OBSTACLES)
def test_what_filling_would_fail_at(project, filled, environ, contents, message):
    """It is known before, with the same words, and nothing is made for that; without an obstacle there is none."""
    settings = Settings(environ | {"UV_PYTHON_DOWNLOADS": "never"})
    (project / "requirements.txt").write_text("tiny\n")
    assert list(obstacles(python_project(str(project)), settings)) == []
    for name, text in contents.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    before = sorted(os.listdir(project))
    (error,) = obstacles(python_project(str(project)), settings)
    assert re.search(message, error.lines()[0])
    assert error.hint or isinstance(error, InvalidFile)
    assert sorted(os.listdir(project)) == before
    with pytest.raises(EskerError, match=message):
        filled(UV_PYTHON_DOWNLOADS="never")


MEMBER = '[project]\nname = "{}"\nversion = "1"\nrequires-python = ">=3.7"\ndependencies = ["{}"]\n'


@pytest.mark.parametrize("locked", [True, False])
def test_a_workspace_has_one_environment(project, environ, locked):
    """It is in the root, as with uv; a member fills it with what it needs, and what the others need stays."""
    root = '[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/alone"]\n'
    (project / "pyproject.toml").write_text(MEMBER.format("root", "tester") + root)
    for name, needed in {"a": "tiny", "b": "other", "alone": "tiny"}.items():
        (project / f"packages/{name}").mkdir(parents=True)
        (project / f"packages/{name}/pyproject.toml").write_text(MEMBER.format(name, needed))
    if locked:
        uv(project, environ, "lock")

    def fill_in(name, venv):
        found = python_project(str(project / name) if name else str(project))
        fill(found, Settings(environ), Told())
        assert found.venv == f"{venv}/.venv"
        files = os.listdir(directory.site_packages(found.venv))
        return sorted(file[:-3] for file in files if file.endswith(".py") and not file.startswith("_"))

    assert fill_in("packages/a", project) == ["tiny"]
    assert fill_in("packages/b", project) == ["other", "tiny"]
    assert fill_in("", project) == ["other", "tester", "tiny"]
    assert fill_in("packages/alone", project / "packages/alone") == ["tiny"]
    assert sorted(os.listdir(project / "packages/a")) == ["pyproject.toml"]
    shutil.rmtree(project / ".venv")
    uv(project / "packages/a", environ, "sync", "--python", sys.executable)  # and this is where uv puts it
    assert (project / ".venv/pyvenv.cfg").exists()
    assert not (project / "packages/a/.venv").exists()


def test_what_decides_in_a_workspace(project, environ):
    """Root and member both say which Python it is; a table that appears above makes a member, and is looked for."""
    member = project / "packages/a"
    member.mkdir(parents=True)
    (member / "pyproject.toml").write_text(MEMBER.format("a", "tiny"))
    alone = python_project(str(member))
    assert alone.venv == f"{member}/.venv"
    assert f"{project}/pyproject.toml" in alone.deciding
    (project / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["packages/*"]\n')
    (project / ".python-version").write_text("3.99\n")
    found = python_project(str(member))
    assert (found.venv, found.python) == (f"{project}/.venv", "==3.99.*,>=3.7")
    assert found.wanted == "a Python for `==3.99.*` (../../.python-version) and `>=3.7` (pyproject.toml)"
    assert {f"{project}/uv.lock", f"{project}/pyproject.toml"} <= {*found.deciding}
    (project / "pyproject.toml").write_text("broken = \n")
    assert python_project(str(member)).venv == f"{member}/.venv"


def test_a_requirement_that_is_none_is_told_with_its_line(project, filled):
    """uv counts characters, and editors count lines; also behind a letter of two bytes, and in a file that is named."""
    (project / "requirements.txt").write_text("-r more.txt\n")
    (project / "more.txt").write_text("# née\ntiny\n\nother thing\n", encoding="utf-8")
    with pytest.raises(VenvFailed) as caught:
        filled()
    said = "\n".join([caught.value.message, *caught.value.lines_of_uv])
    assert re.search(r"in `(\S*/)?more\.txt`, line 4$", said, re.MULTILINE), said
    assert "position" not in said


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


def test_a_requirement_that_is_none(project, filled):
    """It is told with its line, without what a build backend says of it, and before anything is made."""
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\ndependencies = [\n"tiny",\n"ninja >= ",\n]\n')
    with pytest.raises(InvalidFile) as caught:
        filled()
    assert caught.value.lines()[0].startswith(f"{project}/pyproject.toml:6: `ninja >= ` is not a requirement: ")
    assert len(caught.value.lines()) < 4
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


def test_a_release_that_is_newer_than_the_cached_page_of_the_index(project, filled, index):
    """Asked for by number, it is installed: the index is asked again before it is said not to have it."""
    index.max_age = 600
    (project / "requirements.txt").write_text("tiny\n")
    filled()
    index.add("tiny", "1.1", {"tiny.py": "", "newer.py": ""})
    (project / "requirements.txt").write_text("tiny==1.1\n")
    assert filled()[0] == ["newer", "tiny"]
