"""The example's tests, four workers at a time, in two checkouts at once: run with `--live pytest`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from esker.host import pidfd

pytestmark = [pytest.mark.live("pytest"), pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkouts(tmp_path):
    """Give two checkouts, with one store."""
    made = [tmp_path / "one", tmp_path / "other"]
    for checkout in made:
        ignored = shutil.ignore_patterns("cache", "run", "log", "lib", "pylock.toml", "__pycache__")
        shutil.copytree(ROOT / "examples/items", checkout / "examples/items", ignore=ignored)
    return made


@pytest.fixture
def environ(tmp_path):
    """Give variables with caches and a store of their own; packages come from where the machine gets them."""
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path), "ESKER_STORE": str(tmp_path / "store")}


def esker(checkout, environ, *arguments):
    """Run a command of Esker in a checkout."""
    return subprocess.run(
        ["esker", *arguments], cwd=checkout, env=environ, capture_output=True, text=True, check=True
    ).stdout


def processes(checkout):
    """Return the processes that have to do with a checkout, after those that are about to end."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{name}/environ").read_bytes() + os.fsencode(os.readlink(f"/proc/{name}/cwd"))
        except OSError:
            continue
        if os.fsencode(f"{checkout}/") in text:
            with pidfd.opened(int(name)) as descriptor:
                if descriptor is not None and not pidfd.wait(descriptor, 5):
                    found.append(Path(f"/proc/{name}/cmdline").read_bytes())
    return found


def servers(checkout):
    """Return how often PostgreSQL was started in a checkout."""
    log = checkout / "examples/items/.flox/log/services/postgres.log"
    return log.read_text().count("starting PostgreSQL") if log.exists() else 0


def test_workers_share_services_within_a_checkout_and_leave_none(checkouts, environ):
    """In one checkout they join what a shell has started, which stays; in the other they start and stop it."""
    project = ("-d", "examples/items")
    for checkout in checkouts:
        esker(checkout, environ, "lock", *project)
    esker(checkouts[0], environ, "services", "start", *project, "postgres", "cache")
    command = ["esker", "activate", *project, "--", "python", "-m", "pytest"]
    command += ["-n", "4", "examples/items"]
    runs = [
        subprocess.Popen(
            command,
            cwd=checkout,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for checkout in checkouts
    ]
    for run in runs:
        said, _ = run.communicate(timeout=300)
        assert (run.returncode, "4 workers" in said, " passed in " in said) == (0, True, True), said
    ports = [esker(checkout, environ, "services", "ports", *project) for checkout in checkouts]
    assert not set(ports[0].split()) & set(ports[1].split())
    assert [servers(checkout) for checkout in checkouts] == [1, 1]
    assert processes(checkouts[1]) == []
    esker(checkouts[0], environ, "services", "stop", *project)
    assert processes(checkouts[0]) == []
