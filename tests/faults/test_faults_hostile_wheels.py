"""Whatever a wheel contains, it is refused in words or stays in its own tree, and nothing of it runs.

More about wheels, each with its claim, stands in `tests/realise/test_realise_wheels.py`: hashes, files of one name in two
packages, programs named as the interpreter, links in the profile, files named as installation records. What uv leaves
out or corrects, and Esker refuses, is in `tests/realise/test_realise_hostile_wheels.py`.
"""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys

import pytest

from esker.host import trees
from tests.faults.hostile_wheels import NAME, WHEELS
from tests.support.projects import write_project

pytestmark = [pytest.mark.live("faults"), pytest.mark.slow]

MANIFEST = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"]\n'
LARGEST = 200 << 20
"""Bytes that a file may have, so that no wheel fills this machine's disk."""


@pytest.fixture(autouse=True)
def _removed(tmp_path):
    """Remove everything at once: what removes the directories of old tests follows no 2000 levels."""
    yield
    trees.remove_tree(str(tmp_path))


@pytest.mark.parametrize("name", WHEELS)
def test_a_hostile_wheel_is_refused_or_harms_nothing(index, environ, tmp_path, name):
    """It ends with a message or works; outside the store path there is nothing new, and no code has run."""
    hostile = WHEELS[name]
    canary, treasure = tmp_path / "canary", tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "kept").write_text("kept")
    wheel = hostile.wheel(str(canary), str(treasure))
    index.put(NAME, "app-1.0-py3-none-any.whl", wheel)
    index.add("innocent", "1.0")
    project = write_project(tmp_path / "project", MANIFEST)
    (tmp_path / "tmp").mkdir()
    environ |= {"TMPDIR": str(tmp_path / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "esker", *arguments],
            cwd=project,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST)),
        )

    done = run("activate", "--", "true")
    said = done.stderr.decode()
    assert done.returncode in {0, 1}, said
    assert "Traceback" not in said
    assert not any(ord(letter) < 32 and letter != "\n" for letter in said), repr(said)
    if done.returncode:
        assert NAME in said or "package" in said
        assert "ERROR: " in said
    if hostile.refused is not None:
        assert bool(done.returncode) == hostile.refused, said
    assert not canary.exists()
    assert [(one.name, one.read_text()) for one in treasure.iterdir()] == [("kept", "kept")]
    allowed = {"home", "project", "store-root", "tmp", "treasure", "uv-cache"}
    assert {one.name for one in tmp_path.iterdir()} <= allowed
    assert [one for one in (tmp_path / "tmp").rglob("*") if one.name != f"esker-scratch-{os.getuid()}"] == []
    check_store(tmp_path / "store-root", installed=done.returncode == 0)
    if not done.returncode:
        listed = run("list")
        assert b"\x1b" not in listed.stdout + listed.stderr
        assert run("store", "verify").returncode == 0
    # The wheel has spoilt nothing: without it the project works, and a collection takes everything of it away.
    (project / ".flox/env/manifest.toml").write_text(MANIFEST.replace('"app"', '"innocent"'))
    last = run("activate", "--", "python", "-c", "import innocent")
    assert last.returncode == 0, last.stderr.decode()
    assert run("store", "gc", "--keep", "1").returncode == 0
    assert not canary.exists()


def check_store(store, *, installed):
    """Every entry of the store is a store path with plain files, or links that stay within the store."""
    entries = list((store / "store").iterdir()) if (store / "store").exists() else []
    assert installed or not [one for one in entries if one.name.endswith("-environment")]
    for entry in entries:
        assert entry.name[32] == "-", entry
        for directory, names, files in os.walk(os.fsencode(entry)):
            for one in (*names, *files):
                path = os.path.join(directory, one)
                mode = os.lstat(path).st_mode
                assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode), path
                assert not mode & (stat.S_ISUID | stat.S_ISGID), path
                if stat.S_ISLNK(mode):
                    assert os.path.basename(path) in PYTHONS or within(path, entry.parent), (path, os.readlink(path))


PYTHONS = {b"python", b"python3", os.fsencode(f"python3.{sys.version_info.minor}")}
"""The links to the machine's own interpreter."""


def within(path, top):
    """Return whether a link leads to somewhere below `top`."""
    return os.path.realpath(path).startswith(os.path.realpath(os.fsencode(top)))
