"""What `script/test` says about areas of live tests, and how one run hands its skipped tests to another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]
TESTS = """
import os
import pytest

@pytest.mark.skipif(os.environ["WHO"] != "root", reason="only root can")
def test_marked():
    pass

def test_inside():
    if os.environ["WHO"] != "root":
        pytest.skip("only root can")

def test_of_everybody():
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["alone", "in parallel"])
def test_what_one_user_skips_another_runs(tmp_path, parallel):
    """Tests that are skipped, by a mark or in the middle, are written into a file; those alone run with that file."""
    (tmp_path / "conftest.py").write_text((CLONE / "tests/conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(TESTS)

    def run(who, *arguments):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", "-v", *parallel]
        command += ["-c", CLONE / "pyproject.toml", "--rootdir", tmp_path, *arguments, tmp_path]
        environ = os.environ | {"WHO": who}
        done = subprocess.run(command, cwd=CLONE, env=environ, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "1 passed, 2 skipped" in run("user", "--skips-to", tmp_path / "skipped")
    assert (tmp_path / "skipped").read_text() == "test_it.py::test_inside\ntest_it.py::test_marked\n"
    done = run("root", "--only-in", tmp_path / "skipped")
    assert "2 passed" in done
    assert "test_of_everybody" not in done


@pytest.mark.slow
def test_an_unknown_area_of_live_tests_is_an_error_that_names_the_areas():
    """A slip in the name does not look like a run without failures."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--live", "servces", "tests/services"]
    done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 4
    assert "there are no live tests of `servces` here; the areas are containers, services, all" in done.stderr


@pytest.mark.slow
def test_only_files_with_live_tests_are_imported_for_them(tmp_path):
    """What is in no file with the mark is not even read; a live test that could not be found so is an error."""
    (tmp_path / "conftest.py").write_text((CLONE / "tests/conftest.py").read_text())
    (tmp_path / "test_live.py").write_text("import pytest\n@pytest.mark.live('nix')\ndef test_it(): pass\n")
    (tmp_path / "test_other.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "marks.py").write_text("import pytest\nnix = pytest.mark.live('nix')\n")

    def run(*arguments):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", *arguments]
        command += ["-c", CLONE / "pyproject.toml", "--rootdir", tmp_path, tmp_path]
        return subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=False, timeout=100)

    assert "1 passed" in run("--live", "all").stdout
    (tmp_path / "test_other.py").write_text("from marks import nix\n@nix\ndef test_it(): pass\n")
    done = run()
    assert done.returncode == 4
    assert f"write `mark.live` into {tmp_path}/test_other.py" in done.stderr
