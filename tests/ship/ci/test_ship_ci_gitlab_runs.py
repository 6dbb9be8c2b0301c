"""The pipelines for GitLab run in gitlab-ci-local, with real installers and servers: `--live ci`."""

from __future__ import annotations

import json
import os

import pytest

from tests.support import traveling
from tests.support.ci.machine import IMAGE
from tests.support.ci.repositories import (
    SEARCH,
    TESTS_OF_TRAVELING,
    add,
    break_items,
    break_traveling,
    copy_items,
    esker,
    write_hostile,
)

pytestmark = [
    pytest.mark.live("ci"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]
JOB = "test: [x86_64-linux,saas-linux-small-amd64]"
GEMS = """\
  before_script:
    - !reference [.esker, before_script]
    - (cd examples/traveling && bundle lock --local && ruby /esker/tests/support/debian_gems.rb "$PWD/vendor/bundle")
"""
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
    first = machines.gitlab(top, JOB)
    assert first.status == 0, first.log
    assert first.lines("0 store paths were here, 28 were made.")
    assert first.lines("28 passed")
    break_items(top)
    second = machines.gitlab(top, JOB, UV_OFFLINE="1")
    assert second.status != 0
    assert second.lines("28 store paths were here, 0 were made.")
    assert second.lines("1 failed, 28 passed")


def test_the_example_with_a_service_container(machines, repositories):
    """Its database is a container of GitLab's, at `localhost` as on a person's machine; then the same as above."""

    def fill(top):
        traveling.copy(top / "examples")
        (top / "examples/traveling/Gemfile").write_text(traveling.GEMFILE)
        esker(top, "ci", "gitlab", "-d", "examples/traveling", "--image", IMAGE, *TESTS_OF_TRAVELING)
        add(top / ".gitlab-ci.yml", "keys-of-test", GEMS)

    top = repositories.made("traveling", fill)
    first = machines.gitlab_in_containers(top, "postgres", JOB)
    assert first.status == 0, first.log
    assert first.lines("0 store paths were here, 2 were made.")
    assert first.lines("11 runs, ")[0].endswith(" 0 failures, 0 errors, 0 skips")
    break_traveling(top)
    second = machines.gitlab_in_containers(top, "postgres", JOB)
    assert second.status != 0
    assert second.lines("2 store paths were here, 0 were made.")
    assert second.lines("12 runs, ")[0].endswith(" 1 failures, 0 errors, 0 skips")
