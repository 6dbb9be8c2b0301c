"""The workflows run: GitHub's in act, GitLab's in gitlab-ci-local, with real installers and servers (`--live ci`)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support import traveling
from tests.support.ci.hosts import Machines
from tests.support.containers import programs
from tests.support.projects import EMPTY, write_project

pytestmark = [
    pytest.mark.live("ci"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]
EXAMPLES = Path(__file__).parents[3] / "examples"
PYTHON = "3.13"
"""That of the machines."""
HOSTILE = 'it\'s "$(touch pwned)" `touch pwned` ; touch pwned & é'
"""A name of a directory and of a branch."""
ITEMS, TRAVELING = ".github/workflows/esker-examples-items.yml", ".github/workflows/esker-examples-traveling{}.yml"


@pytest.fixture(scope="module")
def machines(_one_docker_engine, tmp_path_factory):
    """Give the hosts with their machines."""
    directory = tmp_path_factory.mktemp("machines")
    for each in (directory, directory.parent):
        each.chmod(0o755)
    yield Machines(_one_docker_engine, directory)
    _one_docker_engine.clear()


@pytest.fixture(scope="module")
def repository():
    """Give a function that makes a repository of a directory of files, in which git has everything.

    Jobs have it at the same place. A pytest that root runs there closes its own directories to the users of services.
    """
    with tempfile.TemporaryDirectory(prefix="esker-ci-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)

        def made(name, fill):
            top = Path(directory) / name
            top.mkdir()
            git(top, "init", "--quiet", "--initial-branch", "main")
            fill(top)
            commit(top)
            return top

        yield made


def git(top, *words):
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.example")
    subprocess.run(["git", *identity, *words], cwd=top, check=True)


def commit(top):
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--allow-empty", "-m", "all")


def esker(top, *words):
    """Run the command as a person would who works there."""
    docker = programs.ROOT.path()
    plugins = top.parent / "docker-client"
    plugins.mkdir(exist_ok=True)
    if not (plugins / "cli-plugins").exists():
        (plugins / "cli-plugins").symlink_to(docker / "cli-plugins")
    environ = os.environ | {"PATH": f"{docker}/bin:{os.environ['PATH']}", "DOCKER_CONFIG": str(plugins)}
    done = subprocess.run(
        [sys.executable, "-m", "esker", *words], cwd=top, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def add(path, place, text):
    """Add lines by hand in a marked place of a file."""
    before = path.read_text()
    assert before.count(f"yours, {place}\n") == 1
    path.write_text(before.replace(f"yours, {place}\n", f"yours, {place}\n{text}"))


def copy_items(top):
    """Copy the example with its lock, and write its workflow."""
    ignored = shutil.ignore_patterns("cache", "run", "log", "__pycache__")
    shutil.copytree(EXAMPLES / "items", top / "examples/items", ignore=ignored)
    esker(top, "lock", "-d", "examples/items", "--python", PYTHON)


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
def examples(repository):
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

    return repository("examples", fill)


def test_github_the_examples_pass(machines, examples):
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


def test_github_the_second_time_everything_is_there_and_a_failing_test_fails(machines, examples):
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


@pytest.fixture(scope="module")
def hostile(repository):
    """Give a repository with hostile names, on a branch with one, and workflows for both hosts.

    The command has several lines, and would fail if one sign of it were lost or meant something.
    """
    command = "cat <<'END'\nit's \"quoted\" $HOME `id -u` \\n\n" + 'END\ntest "$LINES_OF_TEXT" = "$(printf \'a\\nb\')"'
    manifest = f'{EMPTY}[vars]\nLINES_OF_TEXT = "a\\nb"\n[plugins.esker.ci]\ntest = {json.dumps(command)}\n'

    def fill(top):
        for directory in (HOSTILE, "plain"):
            write_project(top / directory, manifest, name="it's-$(touch-pwned)-`pwd`-${{github.token}}")
            esker(top, "lock", "-d", directory)
        esker(top, "ci", "gitlab", "-d", "plain")
        esker(top, "ci", "github", "-d", HOSTILE)
        (path,) = (top / ".github/workflows").iterdir()
        lines = 'test "$LINES_OF_TEXT" = "$(printf \'a\\nb\')"'
        add(path, "steps-after-test", f"      - run: {lines} && {SEARCH}\n")

    top = repository("hostile", fill)
    git(top, "checkout", "--quiet", "-b", "it's-$(touch${IFS}pwned)-`id`-\"-;é")
    return top


SEARCH = "echo \"pwned $(find / -name pwned -not -path '/proc/*' | wc -l) times\""


def test_github_hostile(machines, hostile):
    """Names and branches with quotes and commands in them do nothing; the command arrives as it is."""
    done = machines.github(hostile)
    assert done.status == 0, done.log
    assert done.lines('| it\'s "quoted" $HOME `id -u` \\n')
    assert done.lines("pwned 0 times")


def test_gitlab_hostile(machines, hostile):
    """On GitLab, too, where each dollar sign would begin a variable."""
    add(hostile / ".gitlab-ci.yml", "keys-of-test", f"  after_script:\n    - {json.dumps(SEARCH)}\n")
    commit(hostile)
    done = machines.gitlab(hostile)
    assert done.status == 0, done.log
    assert done.lines('> it\'s "quoted" $HOME `id -u` \\n')
    assert done.lines("pwned 0 times")


def test_gitlab_the_example_passes_and_finds_everything_the_second_time(machines, repository):
    """It tests itself on its own servers; then nothing is fetched or made, and a failing test fails the job."""

    def fill(top):
        copy_items(top)
        esker(top, "ci", "gitlab", "-d", "examples/items")

    top = repository("gitlab", fill)
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
