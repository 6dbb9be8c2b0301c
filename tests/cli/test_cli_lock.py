"""`esker lock` and Python's version: which one is locked, shown, kept, and exchanged for another."""

from __future__ import annotations

import re

import pytest

from tests.support.interpreters import minor, pretended_python

HERE, NEXT = minor(), minor(1)
PYTHON = 'schema-version = "1.14.0"\n[plugins.esker.python]\n'
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("served")]


@pytest.fixture
def with_pyproject(project):
    """Give a function that writes a project whose pyproject.toml has a `requires-python`, and returns its directory."""

    def write(requires_python, version=""):
        directory = project(f'{PYTHON}project = "pyproject.toml"\n{version}')
        text = f'[project]\ndependencies = ["app"]\nrequires-python = "{requires_python}"\n'
        (directory / "pyproject.toml").write_text(text)
        return directory

    return write


def locked_python(directory, requires_python=None):
    """Return the `requires-python` of a project's lock; write another one there, if that is given."""
    path = directory / ".flox/pylock.toml"
    before = re.search('^requires-python = "(.*)"$', path.read_text(), re.MULTILINE)[1]
    if requires_python is not None:
        path.write_text(
            path.read_text().replace(f'requires-python = "{before}"', f'requires-python = "{requires_python}"')
        )
    return before


def test_the_project_file_decides_about_python(esker, with_pyproject):
    """What `requires-python` excludes is not taken, with a message that names the file."""
    directory = with_pyproject(f"=={NEXT}.*")
    refused = esker("activate", "--", "python", "--version", PATH="/nonexistent")
    assert refused.status == 1
    assert f"no Python on this machine satisfies `=={NEXT}.*`; found: {HERE}." in refused.err
    assert f'or change `requires-python = "=={NEXT}.*"` in {directory}/pyproject.toml' in refused.err
    path = directory / "pyproject.toml"
    path.write_text(path.read_text().replace(NEXT, HERE))
    assert esker("activate", "--", "python", "--version").out.startswith(f"Python {HERE}.")


def test_the_lock_s_python_is_shown(esker, with_pyproject):
    """After the packages, for people and programs; names alone are packages' names."""
    directory = with_pyproject(f">={HERE}")
    assert esker("lock").status == 0
    assert locked_python(directory) == f"=={HERE}.*"
    assert esker("list").out == f"app: pypi/app (1.0)\npython: interpreter ({HERE})\n"
    assert esker("list", "-n").out == "app\n"
    assert f"python:\n  Version:           {HERE}\n" in esker("list", "-a").out
    assert f'"version": "{HERE}",\n    "origin": "interpreter"' in esker("list", "--json").out


def test_a_colleague_s_python_changes_no_lock(esker, with_pyproject, tmp_path):
    """Nor does ESKER_PYTHON: the lock is current, is kept, and is installed for its own Python."""
    directory = with_pyproject(f">={HERE}")
    assert esker("lock").status == 0
    newer = str(pretended_python(tmp_path / "newer", f"{NEXT}.0"))
    assert esker("lock", "--check", ESKER_PYTHON=newer) == (0, "", "")
    assert "up to date" in esker("lock", ESKER_PYTHON=newer).err
    assert esker("activate", "--", "python", "--version", ESKER_PYTHON=newer).out.startswith(f"Python {HERE}.")
    assert esker("lock", "--upgrade", ESKER_PYTHON=newer).status == 0
    assert locked_python(directory) == f"=={HERE}.*"


def test_a_lock_for_a_python_that_is_not_here(esker, with_pyproject):
    """The missing interpreter is named with both ways out, the second of which works."""
    directory = with_pyproject(f">={HERE}")
    esker("lock")
    locked_python(directory, f"=={NEXT}.*")
    assert esker("lock", "--check").status == 0
    for command in (["activate", "--", "true"], ["lock", "--upgrade"]):
        refused = esker(*command, PATH="/nonexistent")
        assert refused.status == 1
        assert f"the environment is locked for Python {NEXT}, which this machine does not have" in refused.err
        assert f"lock for a Python that is here: esker lock --python {HERE}" in refused.err
    assert "✔ Locked .flox/pylock.toml" in esker("lock", "--python", HERE).err
    assert locked_python(directory) == f"=={HERE}.*"
    assert "up to date" in esker("lock", "--python", HERE).err
    assert esker("activate", "--", "app").out == "app runs\n"


def test_a_python_that_becomes_excluded_makes_the_lock_stale(esker, with_pyproject):
    """With the file that excludes it; a wider range, or one that has the lock's Python still, does not."""
    directory = with_pyproject(f">={HERE}")
    esker("lock")
    path = directory / "pyproject.toml"
    text = path.read_text()
    for specifier in (f">={minor(-1)}", f"=={HERE}.*", f">={HERE},<4"):
        path.write_text(text.replace(f">={HERE}", specifier))
        assert esker("lock", "--check").status == 0
        assert esker("list").err == ""
    path.write_text(text.replace(f">={HERE}", f">={NEXT}"))
    stale = esker("lock", "--check")
    assert stale.status == 1
    told = f'pylock.toml: locked for Python {HERE}, which `requires-python = ">={NEXT}"` in {path} excludes'
    assert told in stale.err
    assert told in esker("activate", "--locked", "--", "true").err


def test_python_is_chosen_within_both_files(esker, with_pyproject):
    """`--python` outside of them names both and changes nothing; an environment without Python has none to choose."""
    directory = with_pyproject(f">={HERE}", f'version = ">={HERE}"\n')
    esker("lock")
    refused = esker("lock", "--python", minor(-1))
    assert refused.status == 1
    assert f"Python {minor(-1)} is excluded by" in refused.err
    assert f"{directory}/.flox/env/manifest.toml and" in refused.err
    assert f"{directory}/pyproject.toml" in refused.err
    assert esker("lock", "--python", "latest").status == 2
    assert esker("lock", "--check", "--python", HERE).status == 2
    assert esker("lock", "--check").status == 0


def test_a_manifest_without_python_has_none_to_choose(esker, project):
    """Nothing is locked then."""
    directory = project()
    refused = esker("lock", "--python", HERE)
    assert refused.status == 2
    assert "the manifest declares none" in refused.err
    assert not (directory / ".flox/env/manifest.lock").exists()


def test_a_lock_with_an_open_range_stays_valid(esker, with_pyproject):
    """As earlier versions made them; one Python is chosen when somebody asks for it or the lock is made again."""
    directory = with_pyproject(f">={HERE}")
    esker("lock")
    locked_python(directory, f">={HERE}")
    assert esker("lock", "--check").status == 0
    assert "up to date" in esker("lock").err
    assert f"python: interpreter (>={HERE})\n" in esker("list").out
    assert esker("activate", "--", "app").out == "app runs\n"
    assert "✔ Locked .flox/pylock.toml" in esker("lock", "--python", HERE).err
    assert locked_python(directory) == f"=={HERE}.*"


def test_a_lock_for_every_python_of_a_range(esker, project):
    """The table form of `version` asks for it, and a lock for one Python is stale then, but not the other way round."""
    every = f'version = {{ range = ">={HERE},<{minor(2)}", lock = "all" }}\ndependencies = ["app"]\n'
    directory = project(PYTHON + every.replace("all", "one"))
    esker("lock")
    assert locked_python(directory) == f"=={HERE}.*"
    path = directory / ".flox/env/manifest.toml"
    path.write_text(PYTHON + every)
    assert f'locked for Python {HERE} alone, but `lock = "all"` is declared' in esker("lock", "--check").err
    assert esker("lock").status == 0
    assert set(locked_python(directory).split(",")) == {f">={HERE}", f"<{minor(2)}"}
    assert esker("activate", "--", "app").out == "app runs\n"
    path.write_text(PYTHON + every.replace("all", "one"))
    assert "pylock" not in esker("lock", "--check").err


def test_an_extra_that_is_misspelt_is_told_when_it_is_installed(esker, empty):
    """It installs nothing, which a person would not see otherwise; `-q` keeps quiet."""
    esker("init")
    assert (
        "! `app` 1.0 has no extra `serve`: nothing is installed for it; it has none\n"
        in esker("install", "pypi/app[serve]").err
    )
    assert "extra" not in esker("-q", "install", "pypi/tool[serve]").err


def test_files_that_two_packages_bring_are_told_when_they_are_installed(esker, empty, index):
    """Only the wheels say what is in them, so that locking cannot know; installing names both, and which one is used."""
    index.add("first", "1.0", {"shared/data.txt": "1"})
    index.add("second", "1.0", {"shared/data.txt": "2"})
    esker("init")
    done = esker("install", "pypi/first", "pypi/second")
    told = f"! `first` and `second` bring different files `lib/python{minor(0)}/site-packages/shared/data.txt`: that of `second` is used\n"
    assert told in done.err


def test_a_table_whose_name_is_almost_eskers(esker, project):
    """It has no effect, and `lock` says so; a table of another program is nobody's business."""
    project('schema-version = "1.14.0"\n[plugins.eskr.image]\nname = "a"\n[plugins.other]\nname = "b"\n')
    done = esker("lock")
    assert done.status == 0
    assert "! Esker does not read [plugins.eskr], which may be another program's: did you mean `esker`?" in done.err
    assert "other]" not in done.err
