"""The pipelines for GitLab run in gitlab-ci-local, with real installers and servers: `--live ci`."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.ci.repositories import SEARCH, add, commit, copy_items, esker, write_hostile

pytestmark = [
    pytest.mark.live("ci"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]
BRANCH = "it's-$(touch${IFS}pwned)-`id`-\"-;é"


def test_hostile_names(machines, repositories):
    """They do nothing, and the command arrives as it is, though each dollar sign would begin a variable."""

    def fill(top):
        write_hostile(top / "plain")
        esker(top, "ci", "gitlab", "-d", "plain")
        add(top / ".gitlab-ci.yml", "keys-of-test", f"  after_script:\n    - {json.dumps(SEARCH)}\n")

    done = machines.gitlab(repositories.made("hostile", fill, BRANCH))
    assert done.status == 0, done.log
    assert done.lines('> it\'s "quoted" $HOME `id -u` \\n')
    assert done.lines("pwned 0 times")


def test_the_example_passes_and_finds_everything_the_second_time(machines, repositories):
    """It tests itself on its own servers; then nothing is fetched or made, and a failing test fails the job."""

    def fill(top):
        copy_items(top)
        esker(top, "ci", "gitlab", "-d", "examples/items")

    top = repositories.made("examples", fill)
    job = "test: [x86_64-linux,saas-linux-small-amd64]"
    first = machines.gitlab(top, job)
    assert first.status == 0, first.log
    assert first.lines("0 store paths were here, 28 were made.")
    assert first.lines("28 passed")
    (top / "examples/items/tests/test_broken.py").write_text("def test_it():\n    assert False\n")
    commit(top)
    second = machines.gitlab(top, job, UV_OFFLINE="1")
    assert second.status != 0
    assert second.lines("28 store paths were here, 0 were made.")
    assert second.lines("1 failed, 28 passed")
