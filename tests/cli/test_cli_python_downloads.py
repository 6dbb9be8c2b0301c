"""Where no interpreter satisfies what is declared, uv fetches one: by an explicit command, once, and told in a line."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from tests.cli.conftest import Result
from tests.support.interpreters import minor
from tests.support.python_mirror import WITHOUT_PYTHON, path_without_python

pytestmark = pytest.mark.slow

MANIFEST = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"]\n'
RUN = ("activate", "--", "python", "-c", "import app, sys; print(sys.base_prefix)")


@pytest.fixture
def bare(environ, python_mirror, tmp_path, index, project):
    """Give a function that runs `esker` in a project of a machine without Pythons, which may fetch one."""
    index.add("app", "1.0")
    project(MANIFEST)
    path = path_without_python(tmp_path / "programs")

    def run(*arguments, umask=0o022, **variables):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_PYTHON, *arguments],
            cwd=tmp_path / "project",
            env={**environ, "PATH": path, **python_mirror.variables(tmp_path / "pythons"), **variables},
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


def test_a_python_that_is_missing_is_fetched_and_told(bare, python_mirror, tmp_path):
    """One line says version, size and place; the environment runs on it; the lock names the minor version alone."""
    done = bare(*RUN)
    place = tmp_path / "pythons"
    assert done.out == f"{place}/{python_mirror.key}\n", done.err
    assert re.search(rf"✔ Python {python_mirror.version}, [0-9.]+ ?MiB, in {place}\n", done.err)
    lock = (tmp_path / "project/.flox/pylock.toml").read_text()
    assert f'requires-python = "=={minor()}.*"' in lock
    assert python_mirror.version not in lock
    assert not (tmp_path / "home/.local/bin").exists()


def test_what_was_fetched_once_is_found_ever_after(bare, tmp_path, project, environ):
    """Neither the next activation nor another project fetches it again, with downloads forbidden and no mirror."""
    first = bare("lock")
    assert "Fetching" in first.err
    away = {"UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON_INSTALL_MIRROR": "file:///nonexistent"}
    done = bare(*RUN, **away)
    assert (done.status, "Fetching" in done.err) == (0, False)
    assert bare(*RUN, **away).err == ""
    project(MANIFEST, name="other")
    assert bare("lock", "-d", str(tmp_path / "other"), **away).status == 0


@pytest.mark.parametrize(
    ("arguments", "variables", "forbidding"),
    [
        (("lock", "--no-python-downloads"), {}, "--no-python-downloads"),
        (("install", "pypi/app", "--no-python-downloads"), {}, "--no-python-downloads"),
        (("activate", "--no-python-downloads", "--", "true"), {}, "--no-python-downloads"),
        (("activate", "--", "true"), {"UV_PYTHON_DOWNLOADS": "never"}, "UV_PYTHON_DOWNLOADS"),
        (("lock",), {"UV_PYTHON_DOWNLOADS": "manual"}, "UV_PYTHON_DOWNLOADS"),
        (("lock",), {"UV_NO_MANAGED_PYTHON": "1"}, "UV_NO_MANAGED_PYTHON"),
    ],
)
def test_who_forbids_it_gets_an_error_with_both_ways(bare, tmp_path, arguments, variables, forbidding):
    """Nothing is fetched; the hint names how to install a Python, and what forbids to fetch one."""
    done = bare(*arguments, **variables)
    assert done.status == 1
    assert "no Python on this machine can be used; found: none" in done.err
    assert "install it, then put it on PATH" in done.err
    assert f"or let Esker fetch it, which `{forbidding}` forbids now" in done.err
    assert not (tmp_path / "pythons").exists()


def test_uvs_own_configuration_may_forbid_it(bare, tmp_path):
    """`python-downloads = "never"` in the user's uv.toml holds for Esker too."""
    configuration = tmp_path / "home/.config/uv/uv.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text('python-downloads = "never"\n')
    done = bare("lock", UV_PYTHON_DOWNLOADS="")
    assert done.status == 1
    assert "uv's configuration forbids to fetch one (`python-downloads`)" in done.err


def test_offline_the_error_says_so(bare, tmp_path):
    """Without a network the message says that this is why none could be fetched."""
    done = bare("lock", UV_OFFLINE="1", UV_PYTHON_INSTALL_MIRROR="http://127.0.0.1:1")
    assert done.status == 1
    assert "no Python on this machine can be used, and none could be fetched without a network; found: none" in done.err
    unreachable = bare("lock", UV_PYTHON_INSTALL_MIRROR="http://127.0.0.1:1")
    assert "none could be fetched without a network" in unreachable.err


def test_a_version_that_uv_does_not_know(bare, tmp_path):
    """What is declared decides the version; if uv has none either, the error is that of before, and says so."""
    manifest = tmp_path / "project/.flox/env/manifest.toml"
    manifest.write_text(f'{MANIFEST}version = "=={minor(1)}.*"\n')
    done = bare("lock")
    assert done.status == 1
    assert f"no Python on this machine satisfies `=={minor(1)}.*`, and uv knows none to fetch; found: none" in done.err


def test_requires_python_of_the_project_decides(bare, tmp_path, python_mirror):
    """The pyproject.toml's range is what is asked for, and `esker lock --python` within it."""
    directory = tmp_path / "project"
    (directory / ".flox/env/manifest.toml").write_text(MANIFEST.replace('dependencies = ["app"]', 'project = "p.toml"'))
    text = f'[project]\nname = "p"\nversion = "1"\ndependencies = ["app"]\nrequires-python = "=={minor()}.*"\n'
    (directory / "p.toml").write_text(text)
    assert f"Fetching a Python (`=={minor()}.*`)" in bare("lock").err
    shutil.rmtree(tmp_path / "pythons")
    again = bare("lock", "--upgrade", "--python", minor())
    assert f"Fetching Python {minor()} into {tmp_path / 'pythons'}" in again.err
    (directory / "p.toml").write_text(text.replace(f"=={minor()}.*", f"!={python_mirror.version}"))
    shutil.rmtree(tmp_path / "pythons")
    assert "uv knows none to fetch" in bare("lock", "--upgrade").err


@pytest.mark.parametrize("arguments", [("list",), ("doctor",), ("activate", "--json"), ("lock", "--check")])
def test_what_only_looks_fetches_nothing(bare, tmp_path, arguments):
    """Listing, examining and previewing say what they find; only lock, install and activate fetch."""
    bare(*arguments)
    assert not (tmp_path / "pythons").exists()
    assert bare("lock").status == 0
    shutil.rmtree(tmp_path / "pythons")
    done = bare(*arguments)
    assert not (tmp_path / "pythons").exists()
    if arguments == ("activate", "--json"):
        assert "or have it fetched: esker activate -- true" in done.err


def test_install_fetches_what_it_needs(bare, tmp_path, index):
    """`esker install` locks and installs, so it fetches as `lock` does."""
    index.add("other", "1.0")
    done = bare("install", "pypi/other")
    assert done.status == 0, done.err
    assert "Fetching" in done.err


def test_a_damaged_archive_is_refused(bare, tmp_path, python_mirror):
    """The hash is checked; the error names the place, and nothing is left there that looks like a Python."""
    mirror = tmp_path / "damaged"
    copy = mirror / python_mirror.archive.parent.name / python_mirror.archive.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(python_mirror.archive.read_bytes() + b"more")
    done = bare("lock", UV_PYTHON_INSTALL_MIRROR=f"file://{mirror}")
    assert done.status == 1
    assert f"a Python could not be fetched into `{tmp_path / 'pythons'}`: " in done.err
    assert not list((tmp_path / "pythons").glob("cpython-*"))


def test_a_place_that_cannot_be_written(bare):
    """The error names the directory and the variable that names another one."""
    done = bare("lock", UV_PYTHON_INSTALL_DIR="/proc/pythons")
    assert done.status == 1
    assert "/proc/pythons" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has services that run under other uids")
def test_what_root_fetches_can_be_run_by_others(bare, python_mirror):
    """Root's services run under other uids, so every user can read it, whatever root's umask is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        os.chmod(top, 0o755)
        place = pathlib.Path(top, "new", "pythons")
        assert bare("lock", umask=0o077, UV_PYTHON_INSTALL_DIR=str(place)).status == 0
        # A copied Python looks for its shared library where the original lies, which others may not enter.
        python = place / python_mirror.key
        done = subprocess.run(
            [f"{python}/bin/python{minor()}", "-c", "import json, ctypes; print('runs')"],
            user=65534,
            group=65534,
            extra_groups=[],
            env={"LD_LIBRARY_PATH": f"{python}/lib"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "runs\n", done.stderr
