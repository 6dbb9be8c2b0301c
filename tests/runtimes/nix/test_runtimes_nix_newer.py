"""The runtime `nix` with the newest Nix, in the machine with Debian sid."""

from __future__ import annotations

import os

import pytest

from tests.support.sid.machine import Machine
from tests.support.sid.root import CHECKOUT

pytestmark = [
    pytest.mark.live("nix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the machine mounts the root of Debian sid, as root"),
]

NAMES = """
variables_are_those or shells_take_over or never_stale or collected or a_shell_nix or beside_a_flake or
change_the_settings or published_flake or other_shells or structured or that_is_not_there or failing_hook
"""


def test_the_runtime_with_a_newer_nix():
    """The tests that compare with `nix develop`, and those of what is kept, pass with Nix 2.34 as well."""
    directory = "tests/runtimes/nix"
    files = [f"{directory}/test_runtimes_nix_{name}.py" for name in ("live", "published")]
    argv = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--live", "nix", "-k", " ".join(NAMES.split())]
    with Machine() as machine:
        assert "2.34" in machine.run("nix", "--version").stdout
        done = machine.run(*argv, *files, cwd=CHECKOUT, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
