"""The workflows for GitHub run in act, with real installers and servers: `--live ci`."""

from __future__ import annotations

import os

import pytest

from tests.support import traveling
from tests.support.ci.repositories import SEARCH, SEVERAL_LINES, add, commit, copy_items, esker, write_hostile

pytestmark = [
    pytest.mark.live("ci"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]
HOSTILE = 'it\'s "$(touch pwned)" `touch pwned` ; touch pwned & é'
"""A name of a directory."""
BRANCH = "it's-$(touch${IFS}pwned)-`id`-\"-;é"
ITEMS, TRAVELING = ".github/workflows/esker-examples-items.yml", ".github/workflows/esker-examples-traveling{}.yml"
TESTS_OF_TRAVELING = [
    *("--test", "bundle install --local"),  # no server of gems is asked
    *("--test", "env RAILS_ENV=test bundle exec rails db:prepare", "--test", "bundle exec rails test"),
]
STEP_OF_TRAVELING = """\
      - name: The gems of the machine
        working-directory: examples/traveling
        run: |
          bundle lock --local
          ruby /esker/tests/support/debian_gems.rb "$PWD/vendor/bundle"
"""
LATER_STEP = """\
      - name: A later step
        working-directory: examples/items
        run: |
          python -c 'import items, sys; print("later:", sys.prefix)'
          esker activate --locked -- python -c 'import os; print("again:", os.environ["PGUSER"])'
          test ! -e "$ESKER_RUNTIME_DIR"
"""


@pytest.fixture(scope="module")
def examples(repositories):
    """Give a repository with both examples and their workflows, in which somebody has added steps."""

    def fill(top):
        copy_items(top)
        esker(top, "ci", "github", "-d", "examples/items")
        add(top / ITEMS, "steps-after-test", LATER_STEP)
        project = traveling.copy(top / "examples")
        (project / "Gemfile").write_text(traveling.GEMFILE)
        port = traveling.free_port()
        for name in ("docker-compose.yml", ".flox/env/manifest.toml", "setup-env.sh", "config/database.yml"):
            text = (project / name).read_text()
            (project / name).write_text(text.replace(":-5432}", f":-{port}}}").replace(", 5432)", f", {port})"))
        for tool in ("flox", "nix", "guix"):
            written = top / TRAVELING.format("")
            esker(top, "ci", "github", "-d", "examples/traveling", "--through", tool, *TESTS_OF_TRAVELING)
            add(written, "steps-before-test", STEP_OF_TRAVELING)
            written.rename(top / TRAVELING.format(f"-{tool}"))

    return repositories.made("examples", fill)


def test_the_examples_pass(machines, examples):
    """Each tests itself in its declared environment: with its own servers, and with the host's container."""
    done = machines.github(examples)
    assert done.status == 0, done.log
    assert len(done.lines("28 passed")) == 1
    assert len(done.lines("11 runs, ")) == 3
    assert all(" 0 failures, 0 errors, 0 skips" in line for line in done.lines("11 runs, "))
    assert done.lines("0 store paths were here, ")
    assert done.lines("saved esker-1-x86_64-linux-")
    assert done.lines("later: ")[0].endswith("x86_64-linux.items-dev")
    assert done.lines("again: items")


def test_the_second_time_everything_is_there_and_a_failing_test_fails(machines, examples):
    """Nothing is fetched or made; the job ends as the test does, and a later step runs if it wants to."""
    (examples / "examples/items/tests/test_broken.py").write_text("def test_it():\n    assert False\n")
    commit(examples)
    done = machines.github(examples, "-W", ITEMS, UV_OFFLINE="1")
    assert done.status != 0
    assert done.lines("restored esker-1-x86_64-linux-")
    assert done.lines("28 store paths were here, 0 were made.")
    assert not done.lines("saved esker-1")
    assert done.lines("1 failed, 28 passed")
    assert done.lines("Failure - Main Run the command in the environment")


def test_hostile_names(machines, repositories):
    """Names and branches with quotes and commands in them do nothing; the command arrives as it is."""

    def fill(top):
        write_hostile(top / HOSTILE)
        esker(top, "ci", "github", "-d", HOSTILE)
        (path,) = (top / ".github/workflows").iterdir()
        add(path, "steps-after-test", f"      - run: {SEVERAL_LINES} && {SEARCH}\n")

    done = machines.github(repositories.made("hostile", fill, BRANCH))
    assert done.status == 0, done.log
    assert done.lines('| it\'s "quoted" $HOME `id -u` \\n')
    assert done.lines("pwned 0 times")
