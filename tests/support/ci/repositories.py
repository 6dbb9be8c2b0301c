"""Repositories for runs of workflows: what is in them, and the command run there as a person would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.ci.wheels import PYTHON
from tests.support.containers import programs
from tests.support.projects import EMPTY, write_project

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "EXAMPLES",
    "SEARCH",
    "SEVERAL_LINES",
    "TESTS_OF_TRAVELING",
    "Repositories",
    "add",
    "break_items",
    "break_traveling",
    "commit",
    "copy_items",
    "esker",
    "write_hostile",
]

EXAMPLES = Path(__file__).parents[3] / "examples"
SEVERAL_LINES = 'test "$LINES_OF_TEXT" = "$(printf \'a\\nb\')"'
"""A command that fails unless the variable has both lines."""
SEARCH = "echo \"pwned $(find / -name pwned -not -path '/proc/*' | wc -l) times\""
"""A command that tells whether one in a hostile name has run."""
TESTS_OF_TRAVELING = (
    *("--test", "bundle install --local"),  # no server of gems is asked
    *("--test", "env RAILS_ENV=test bundle exec rails db:prepare", "--test", "bundle exec rails test"),
)
_BROKEN = "require 'test_helper'\nclass BrokenTest < ActiveSupport::TestCase\n  test('it') { assert false }\nend\n"
_COMMAND = f"cat <<'END'\nit's \"quoted\" $HOME `id -u` \\n\nEND\n{SEVERAL_LINES}"
"""It would fail, or print something else, if one sign of it were lost or meant something."""


class Repositories:
    """Makes repositories in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def made(self, name: str, fill: Callable[[Path], object], branch: str = "main") -> Path:
        """Make a repository in which git has all that `fill` puts there."""
        top = self._directory / name
        top.mkdir()
        _git(top, "init", "--quiet", "--initial-branch", branch)
        fill(top)
        commit(top)
        return top


def commit(top: Path) -> None:
    """Let git have everything."""
    _git(top, "add", "--all")
    _git(top, "commit", "--quiet", "--allow-empty", "-m", "all")


def _git(top: Path, *words: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.example")
    subprocess.run(["git", *identity, *words], cwd=top, check=True)


def esker(top: Path, *words: str) -> None:
    """Run the command at the top of a repository, with a `docker` that knows Compose, as one without an engine does."""
    client = top.parent / "docker-client"
    client.mkdir(exist_ok=True)
    if not (client / "cli-plugins").exists():
        (client / "cli-plugins").symlink_to(programs.ROOT.path() / "cli-plugins")
    path = f"{programs.ROOT.path()}/bin:{os.environ['PATH']}"
    environ = os.environ | {"PATH": path, "DOCKER_CONFIG": str(client)}
    command = [sys.executable, "-m", "esker", *words]
    done = subprocess.run(command, cwd=top, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def add(path: Path, place: str, text: str) -> None:
    """Add lines by hand in a marked place of a file."""
    before = path.read_text()
    assert before.count(f"yours, {place}\n") == 1
    path.write_text(before.replace(f"yours, {place}\n", f"yours, {place}\n{text}"))


def copy_items(top: Path) -> None:
    """Copy the example with its lock, for the Python of the machines."""
    ignored = shutil.ignore_patterns("cache", "run", "log", "__pycache__")
    shutil.copytree(EXAMPLES / "items", top / "examples/items", ignore=ignored)
    esker(top, "lock", "-d", "examples/items", "--python", PYTHON)


def break_items(top: Path) -> None:
    """Add a test that fails."""
    (top / "examples/items/tests/test_broken.py").write_text("def test_it():\n    assert False\n")
    commit(top)


def break_traveling(top: Path) -> None:
    """Add a test that fails."""
    (top / "examples/traveling/test/broken_test.rb").write_text(_BROKEN)
    commit(top)


def write_hostile(directory: Path) -> None:
    """Write a project with a hostile name and a command of several lines."""
    manifest = f'{EMPTY}[vars]\nLINES_OF_TEXT = "a\\nb"\n[plugins.esker.ci]\ntest = {json.dumps(_COMMAND)}\n'
    write_project(directory, manifest, name="it's-$(touch-pwned)-`pwd`-${{github.token}}")
    esker(directory, "lock")
