"""A project that is installed itself, with a repository and an editable directory among its sources."""

from __future__ import annotations

import json

import pytest

from tests.support.build_backend import add_backend, write_package
from tests.support.sources import commit, commit_of, package, repository, serve_backend

pytestmark = pytest.mark.slow

MANIFEST = 'schema-version = "1.14.0"\n[plugins.esker.python]\nproject = "pyproject.toml"\n'
ORIGIN = "import importlib.metadata as m; print(m.distribution({!r}).read_text('direct_url.json'))"


@pytest.fixture
def shop(project, index, tmp_path):
    """Give a project with a backend of its own that takes `far` from a repository and `near` from a directory."""
    add_backend(index)
    serve_backend(index)
    index.add("low", "1.0")
    repository(tmp_path / "far", "far")
    package(tmp_path / "near", "near")
    directory = project(MANIFEST)
    sources = f'far = {{ git = "file://{tmp_path}/far" }}\nnear = {{ path = "{tmp_path}/near", editable = true }}\n'
    write_package(directory, more=f"[tool.tiny]\nlog = '{tmp_path}/log'\n[tool.uv.sources]\n{sources}")
    text = (directory / "pyproject.toml").read_text()
    head = "[project]\n"
    (directory / "pyproject.toml").write_text(text.replace(head, head + 'dependencies = ["far", "near"]\n', 1))
    return directory


def test_a_project_and_its_sources_are_built_side_by_side(esker, shop, tmp_path):
    code = "import demo_app, far, near; print(far.VERSION, near.__file__)"
    assert esker("activate", "--", "python", "-c", code).out == f"1.0 {tmp_path}/near/near.py\n"
    lock = (shop / ".flox/pylock.toml").read_text()
    assert '[tool.esker.build-requirements."demo-app"]' in lock
    assert f'[tool.esker.build-requirements."far {commit_of(tmp_path / "far")}"]' in lock
    assert esker("lock", "--check").status == 0


def test_where_a_source_comes_from_is_told_and_where_its_wheel_lay_is_not(esker, shop, tmp_path):
    """As pip and uv tell it (PEP 610), so that `pip freeze` names the commit."""
    far = json.loads(esker("activate", "--", "python", "-c", ORIGIN.format("far")).out)
    assert far == {
        "url": f"file://{tmp_path}/far",
        "vcs_info": {"vcs": "git", "commit_id": commit_of(tmp_path / "far")},
    }
    near = json.loads(esker("activate", "--", "python", "-c", ORIGIN.format("near")).out)
    assert near == {"url": f"file://{tmp_path}/near", "dir_info": {"editable": True}}


def test_commands_that_show_packages_know_those_without_a_version(esker, shop):
    assert esker("install", "--dry-run", "pypi/low").status == 0
    assert esker("lock").status == 0
    for words in (("list",), ("tree",), ("tree", "--json"), ("why", "far"), ("why", "near"), ("outdated",)):
        shown = esker(*words)
        assert shown.status == 0, shown.err
        assert "far" in shown.out or words[0] in {"why", "outdated"}
        assert "None" not in shown.out


def test_an_upgrade_takes_the_newest_commit_and_says_so(esker, shop, tmp_path):
    assert esker("activate", "--", "true").status == 0
    before = commit_of(tmp_path / "far")
    (tmp_path / "far/far.py").write_text('VERSION = "new"\n')
    after = commit(tmp_path / "far")
    done = esker("upgrade", "far")
    assert done.status == 0, done.err
    assert before[:12] in done.out + done.err
    assert after[:12] in done.out + done.err
    assert esker("activate", "--", "python", "-c", "import far; print(far.VERSION)").out == "new\n"
