"""What a job keeps, and its summary."""

from __future__ import annotations

import pytest

from esker.declare.load import load
from esker.errors import UsageError
from esker.settings import Settings
from esker.ship.ci.cached import kept, summary
from tests.support.projects import write_project


def test_the_key_is_the_locks(tmp_path):
    """It changes with each file of the lock, and with nothing else of the project; the beginning stays."""
    project = write_project(tmp_path / "project")
    settings = Settings({"ESKER_STORE": "/store"})
    keys = [kept(load(str(project)), settings)]
    for name in ("env/manifest.lock", "pylock.toml", "conda.lock"):
        (project / ".flox" / name).write_text("x")
        keys.append(kept(load(str(project), alone=True), settings))
    (project / "README").write_text("x")
    assert kept(load(str(project), alone=True), settings) == keys[-1]
    assert len({each.key for each in keys}) == 4
    assert {(each.path, each.start) for each in keys} == {("/store", keys[0].start)}
    assert all(each.key.startswith(each.start) for each in keys)


@pytest.mark.parametrize("path", ["/a\nkey=b", "/a*", "/!a", "/[a]"])
def test_a_store_that_no_cache_takes(tmp_path, path):
    """Its path would be a pattern, or another line."""
    project = write_project(tmp_path / "project")
    with pytest.raises(UsageError, match="cannot be kept in a cache"):
        kept(load(str(project)), Settings({"ESKER_STORE": path}))


def test_the_summary_counts():
    """It says how many paths were here, and names those that were made, as code whatever their names are."""
    text = summary("a`b\n# c", ["/s/1-old"], ["/s/1-old", "/s/2-new"])
    assert text == "### Environment `a'b # c`\n\n1 store path was here, 1 was made.\n\n- `new`\n"
    assert "and 10 more" in summary("a", [], [f"/s/{each}-x" for each in range(60)])
