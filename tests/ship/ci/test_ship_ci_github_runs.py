"""The workflows for GitHub run in act, with real installers and servers: `--live ci`."""

from __future__ import annotations

import os

import pytest

from tests.support import traveling
from tests.support.ci.repositories import (
    SEARCH,
    SEVERAL_LINES,
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
HOSTILE = 'it\'s "$(touch pwned)" `touch pwned` ; touch pwned & é'
"""A name of a directory."""
BRANCH = "it's-$(touch${IFS}pwned)-`id`-\"-;é"
WORKFLOWS = ".github/workflows"
STEP_OF_TRAVELING = """\
      - name: The gems of the machine
        working-directory: examples/traveling
        run: |
          bundle lock --local
          ruby /esker/tests/support/debian_gems.rb "$PWD/vendor/bundle"
"""
PORT_OF_TRAVELING = """\
    env:
      PSQL_PORT: "{}"
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
def repository(repositories):
    """Give a repository with workflows for both examples, a Python project without a manifest, and a hostile one."""

    def fill(top):
        copy_items(top)
        esker(top, "ci", "github", "-d", "examples/items")
        add(top / f"{WORKFLOWS}/esker-examples-items.yml", "steps-after-test", LATER_STEP)
        write_traveling(top)
        (top / "report").mkdir()
        (top / "report/requirements.txt").write_text("iniconfig\n")
        esker(top, "ci", "github", "-d", "report", "--test", "python -c 'import iniconfig as it; print(it.__file__)'")
        write_hostile(top / HOSTILE)
        esker(top, "ci", "github", "-d", HOSTILE)
        (path,) = (top / WORKFLOWS).glob("*touch*")
        add(path, "steps-after-test", f"      - run: {SEVERAL_LINES} && {SEARCH}\n")

    return repositories.made("examples", fill, BRANCH)


def write_traveling(top):
    """Write four workflows: each enters the environment by another tool, with a port of its own for the database.

    Each gets a name of its own too, because act names containers by it.
    """
    project = traveling.copy(top / "examples")
    (project / "Gemfile").write_text(traveling.GEMFILE)
    written, compose = top / f"{WORKFLOWS}/esker-examples-traveling.yml", project / "docker-compose.yml"
    text = compose.read_text()
    for tool in ("flox", "nix", "guix", "esker"):
        port = traveling.free_port()
        compose.write_text(text.replace(":-5432}", f":-{port}}}"))
        esker(top, "ci", "github", "-d", "examples/traveling", "--through", tool, *TESTS_OF_TRAVELING)
        add(written, "keys-of-test", PORT_OF_TRAVELING.format(port))
        add(written, "steps-before-test", STEP_OF_TRAVELING)
        (top / f"{WORKFLOWS}/traveling-{tool}.yml").write_text(
            written.read_text().replace("Test traveling", f"Test traveling by {tool}")
        )
        written.unlink()
    compose.write_text(text)


def test_the_workflows_pass(machines, repository):
    """Projects test themselves in their declared environments: with their own servers, and with the host's container.

    Names and branches with quotes and commands in them do nothing; a hostile command arrives as it is.
    """
    done = machines.github(repository)
    assert done.status == 0, done.log
    assert len(done.lines("28 passed")) == 1
    assert len(done.lines("11 runs, ")) == 4
    assert all(" 0 failures, 0 errors, 0 skips" in line for line in done.lines("11 runs, "))
    assert len(done.lines("saved esker-1-x86_64-linux-")) == 3
    assert done.lines("later: ")[0].endswith("x86_64-linux.items-dev")
    assert done.lines("again: items")
    assert done.lines("/report/.venv/lib/python3.13/site-packages/iniconfig/__init__.py")
    assert done.lines('| it\'s "quoted" $HOME `id -u` \\n')
    assert done.lines("pwned 0 times")


def test_the_second_time_everything_is_there_and_a_failing_test_fails(machines, repository):
    """Nothing is fetched or made; the job ends as the test does, and a later step runs if it wants to."""
    for path in (repository / WORKFLOWS).iterdir():
        if path.name not in {"esker-examples-items.yml", "traveling-esker.yml"}:
            path.unlink()
    break_items(repository)
    break_traveling(repository)
    done = machines.github(repository, UV_OFFLINE="1")
    assert done.status != 0
    assert len(done.lines("restored esker-1-x86_64-linux-")) == 2
    assert len(done.lines(" store paths were here, 0 were made.")) == 2
    assert done.lines("28 store paths were here, 0 were made.")
    assert not done.lines("saved esker-1")
    assert done.lines("1 failed, 28 passed")
    assert done.lines("12 runs, ")[0].endswith(" 1 failures, 0 errors, 0 skips")
    assert len(done.lines("Failure - Main Run the command in the environment")) == 2
