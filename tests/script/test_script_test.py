"""What `script/test` says about areas of live tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_an_unknown_area_of_live_tests_is_an_error_that_names_the_areas():
    """A slip in the name does not look like a run without failures."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--live", "servces", "tests/services"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 4
    assert "there are no live tests of `servces` here; the areas are containers, services, all" in done.stderr
