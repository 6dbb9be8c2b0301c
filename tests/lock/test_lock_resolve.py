"""What a lock is made of, and what cannot be locked."""

import os

import pytest

from esker.declare.load import load
from esker.errors import ResolutionFailed
from esker.lock.resolve import make_lock
from esker.progress import Silent
from esker.runtimes.preparation import prepare_anew


@pytest.fixture
def composed(tmp_path):
    """Give the directory of an environment that includes another."""
    (tmp_path / ".flox/env").mkdir(parents=True)
    (tmp_path / ".flox/env.json").write_text('{"name": "high", "version": 1}')
    manifest = 'schema-version = "1.14.0"\n[include]\nenvironments = [{ dir = "../low" }]\n'
    (tmp_path / ".flox/env/manifest.toml").write_text(manifest)
    return str(tmp_path)


def test_included_environments_are_not_locked(composed):
    """What an environment would take from others is never left out in silence."""
    with pytest.raises(ResolutionFailed, match="include"):
        make_lock(load(composed), None, "x86_64-linux", {}, progress=Silent())


def test_included_environments_are_not_activated(composed):
    """Nor where Flox has locked it; nothing is written."""
    with pytest.raises(ResolutionFailed, match="include"):
        prepare_anew(composed, {})
    assert not os.path.exists(f"{composed}/.flox/env/manifest.lock")
