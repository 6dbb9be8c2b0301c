"""A repository that is only read runs nothing of its own, whatever its configuration says."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

import pytest

from esker.errors import CommandFailed
from esker.host.git import run_git
from tests.support.sources import commit, git

READS = [
    ["describe", "--always", "--tags", "--long"],
    ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    ["rev-parse", "--verify", "HEAD^{tree}"],
]


@pytest.fixture
def incomplete(tmp_path):
    """Give a repository that lacks objects, and whose configuration names a program that is to send them."""
    directory = tmp_path / "repository"
    for name in ("seen", "unseen"):
        (directory / name).mkdir(parents=True)
        (directory / name / "file").write_text(name)
    git(directory, "init", "-q")
    head = commit(directory)
    git(directory, "sparse-checkout", "set", "--cone", "--sparse-index", "seen")
    missing = [head, git(directory, "rev-parse", "HEAD:unseen")]
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": str(directory),
        "remote.origin.uploadPack": f"touch {tmp_path / 'ran'} #",
        "protocol.file.allow": "always",
    }.items():
        git(directory, "config", key, value)
    for name in missing:
        (directory / ".git/objects" / name[:2] / name[2:]).unlink()
    return directory


@pytest.mark.parametrize("words", READS, ids=lambda words: words[0])
def test_what_a_repository_lacks_is_not_fetched(incomplete, tmp_path, words):
    """Git alone would start the program that a repository names for it; a project may come with such a repository."""
    subprocess.run(["git", *words], cwd=incomplete, capture_output=True, check=False)
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    with suppress(CommandFailed):
        run_git(words, os.environ, cwd=str(incomplete))
    assert not (tmp_path / "ran").exists()
