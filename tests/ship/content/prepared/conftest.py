"""What the tests of prepared things share: a project, a registry on loopback, and what an image would hold of it."""

from __future__ import annotations

import os
import subprocess

import pytest

from esker.declare.load import load
from esker.progress import Silent
from esker.settings import Settings
from esker.ship.content.accounts import User
from esker.ship.content.making import Making
from esker.ship.content.prepared.prepared import prepared_content
from esker.ship.image.tree import tree
from esker.ship.image.unit import Directory, SymbolicLink
from esker.store.store import Store
from tests.support.npm_registry import NpmRegistry
from tests.support.projects import write_project

SYSTEM = "x86_64-linux"
USER = User("app", "app", 10000, 10000)


@pytest.fixture
def registry():
    """Give a registry of npm on loopback, empty; it serves other files, too."""
    with NpmRegistry() as served:
        yield served


@pytest.fixture
def variables(tmp_path, registry):
    """Give the variables of a caller: npm's configuration names the registry, and git asks nobody."""
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "npm_config_registry": registry.url}


@pytest.fixture
def prepared(tmp_path, variables, project):
    """Give a function that writes a manifest and returns what is prepared for an image."""

    def make(text, *, inputs=(), machine="here", others=(), system=SYSTEM, locked=False, **more):
        if not (project / ".flox").exists():
            write_project(project)
        (project / ".flox/env/manifest.toml").write_text(f'schema-version = "1.14.0"\n[plugins.esker.image]\n{text}')
        settings, declaration = Settings({**variables, **more}), load(str(project))
        store = Store(str(tmp_path / machine), durable=False)
        making = Making(declaration, None, store, settings, Silent(), tuple(inputs), locked=locked)
        return prepared_content(making, system, USER, others)

    return make


@pytest.fixture
def repository(tmp_path):
    """Give a git repository with a function `commit(**files)`, which returns the commit's id."""
    return Repository(tmp_path / "repository")


class Repository:
    """A git repository whose commits are the same on every machine."""

    def __init__(self, path):
        self.path = path
        self.url = f"file://{path}"
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words, given=None):
        """Run git, and return what it prints."""
        dates = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
        command = ["git", "-c", "core.hooksPath=/dev/null", *words]
        done = subprocess.run(
            command, cwd=self.path, env=os.environ | dates, input=given, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(self, files):
        """Write and commit files: text, bytes, or a link as a tuple with its target."""
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, tuple):
                path.symlink_to(content[0])
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
                path.chmod(0o755 if name.endswith(".sh") else 0o644)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=x")
        return self.git("rev-parse", "HEAD")

    def commit_tree(self, lines):
        """Commit a tree that `git add` would not make: lines as `git mktree` reads them; `BLOB` is an empty file."""
        blob = self.git("hash-object", "-w", "--stdin", given=b"")
        made = self.git("mktree", "--missing", "-z", given="\0".join([*lines, ""]).replace("BLOB", blob).encode())
        commit = self.git("commit-tree", "-m", "x", made)
        self.git("update-ref", "refs/heads/main", commit)
        return commit


_WHO = {"NAME": "A", "EMAIL": "a@mail.invalid", "DATE": "2020-01-01T00:00:00Z"}


def listed(content):
    """Return the entries of what is prepared: by path, a mode with the content, a link's target, or a directory."""
    found = {}
    for entry in tree(content.units):
        if isinstance(entry, Directory):
            found[entry.path + "/"] = (entry.mode, entry.uid, entry.gid)
        elif isinstance(entry, SymbolicLink):
            found[entry.path] = entry.target
        else:
            with open(entry.source, "rb") as file:
                found[entry.path] = (entry.mode, file.read())
    return found


def files_of(content):
    """Return the entries that are no directories."""
    return {path: entry for path, entry in listed(content).items() if not path.endswith("/")}
