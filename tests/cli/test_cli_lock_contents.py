"""A pylock.toml that holds what its inputs did not give: refused where a lock has to be current, else made again."""

from __future__ import annotations

import re

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("served")]
MANIFEST = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = [{}]\n'


@pytest.fixture
def locked(esker, project):
    """Give the directory of a project for which `app` is locked."""
    directory = project(MANIFEST.format('"app"'))
    assert esker("lock").status == 0
    return directory


def package(name, directory, esker):
    """Return what a lock says of another package: what a merge would bring in."""
    manifest, *locks = (
        directory / ".flox" / file for file in ("env/manifest.toml", "env/manifest.lock", "pylock.toml")
    )
    before = {path: path.read_text() for path in (manifest, *locks)}
    manifest.write_text(MANIFEST.format(f'"{name}"'))
    assert esker("lock").status == 0
    entry = re.search(r"\n\[\[packages\]\].*?\n\]\n", locks[1].read_text(), re.DOTALL)[0]
    for path, text in before.items():
        path.write_text(text)
    return entry


def test_a_package_that_nobody_asks_for_is_refused(esker, locked):
    """By all that wants a current lock, with its name and the way out, and though the environment was active before."""
    assert esker("activate", "--", "app").out == "app runs\n"
    path = locked / ".flox/pylock.toml"
    good = path.read_text()
    path.write_text(good.replace("\n[tool.esker]", package("tool", locked, esker) + "\n[tool.esker]"))
    told = "pylock.toml: `tool` is in it, but the lock was made without it"
    for command in (["lock", "--check"], ["activate", "--locked", "--", "tool"]):
        refused = esker(*command)
        assert refused.status == 1
        assert told in refused.err
        assert "esker lock" in refused.err
        assert "tool runs" not in refused.out
    assert "The lock does not match the manifest" in esker("list").err
    assert esker("lock").status == 0
    assert path.read_text() == good
    assert esker("activate", "--locked", "--", "app").out == "app runs\n"


def test_a_plain_activation_makes_such_a_lock_again(esker, locked):
    """As any lock that is stale: the package is not installed."""
    path = locked / ".flox/pylock.toml"
    good = path.read_text()
    path.write_text(good.replace("\n[tool.esker]", package("tool", locked, esker) + "\n[tool.esker]"))
    assert esker("activate", "--", "tool").status == 127
    assert path.read_text() == good


def test_a_lock_of_an_earlier_version_stays_as_it_is(esker, locked):
    """It is current, is activated, and is not written anew when something else in the manifest changes."""
    path = locked / ".flox/pylock.toml"
    old = re.sub(r"contents = .*\npackages = (\[[^]]*\])\n", "", path.read_text())
    assert "contents" not in old
    path.write_text(old)
    assert esker("lock", "--check").status == 0
    assert esker("activate", "--locked", "--", "app").out == "app runs\n"
    manifest = locked / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text() + '[vars]\nA = "1"\n')
    assert "Locked .flox/env/manifest.lock" in esker("lock").err
    assert path.read_text() == old
    assert esker("lock", "--upgrade").status == 0
    assert "contents" in path.read_text()
