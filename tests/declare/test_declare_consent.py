"""Consent to the content of a project, and nothing else."""

from __future__ import annotations

import os
import stat

import pytest

from esker.declare import consent
from esker.errors import HostError
from esker.settings import Settings

MANIFEST = 'schema-version = "1.14.0"\n[plugins.esker.compose]\nfile = "compose/dev.yml"\n'
COVERED = [
    ".flox/env/manifest.toml",
    ".flox/env/manifest.lock",
    ".flox/conda.lock",
    ".flox/pylock.toml",
    "compose/dev.yml",
    "setup-env.sh",
    "flake.nix",
]


@pytest.fixture
def settings(tmp_path):
    """Give the settings of somebody with a data directory."""
    return Settings({"XDG_DATA_HOME": str(tmp_path / "data")})


@pytest.fixture
def project(tmp_path):
    """Give a project with every file that consent covers."""
    directory = tmp_path / "project"
    for name in COVERED:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MANIFEST if name.endswith("manifest.toml") else name)
    return directory


def standing(project, settings):
    """Return the standing of a project with its present content."""
    return consent.standing(str(project), consent.content(str(project)), settings)


def allow(project, settings):
    """Allow a project with its present content."""
    consent.allow(str(project), consent.content(str(project)), settings)


@pytest.mark.parametrize("name", COVERED)
@pytest.mark.parametrize("how", ["changed", "removed"])
def test_consent_ends_with_each_file(project, settings, name, how):
    """A change, or the absence, of each file that decides what runs ends the consent, and the old content has it."""
    assert standing(project, settings) == "unknown"
    allow(project, settings)
    assert standing(project, settings) == "allowed"
    before = (project / name).read_text()
    if how == "changed":
        (project / name).write_text(f"{before}# more\n")
    else:
        (project / name).unlink()
    assert standing(project, settings) == "changed"
    (project / name).write_text(before)
    assert standing(project, settings) == "allowed"


def test_consent_ends_with_a_new_file(project, settings):
    """A Nix expression that was not there asks again; a file that decides nothing does not."""
    allow(project, settings)
    (project / "README.md").write_text("x")
    assert standing(project, settings) == "allowed"
    (project / "shell.nix").write_text("x")
    assert standing(project, settings) == "changed"


def test_files_cannot_pass_for_each_other(project, settings):
    """The same texts in other files are another content."""
    allow(project, settings)
    lock, other = project / ".flox/conda.lock", project / ".flox/pylock.toml"
    first, second = lock.read_text(), other.read_text()
    lock.write_text(second)
    other.write_text(first)
    assert standing(project, settings) == "changed"


def test_consent_is_for_one_path(project, settings, tmp_path):
    """A copy elsewhere is not allowed."""
    allow(project, settings)
    copy = project.rename(tmp_path / "copy")
    assert standing(copy, settings) == "unknown"


def test_a_denial_beats_an_allowance(project, settings):
    """What is denied stays denied with any content, until it is allowed again; earlier allowances are forgotten."""
    allow(project, settings)
    consent.deny(str(project), settings)
    assert standing(project, settings) == "denied"
    (project / "setup-env.sh").write_text("other")
    assert standing(project, settings) == "denied"
    allow(project, settings)
    assert standing(project, settings) == "allowed"
    (project / "setup-env.sh").write_text("setup-env.sh")
    assert standing(project, settings) == "changed"


def test_the_files_are_the_users_alone(project, settings, tmp_path):
    """What was allowed is in a file of mode 0600 in a directory of mode 0700, and counts only there."""
    before = os.umask(0)
    try:
        allow(project, settings)
    finally:
        os.umask(before)
    path = consent.record_path(str(project), settings)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "data/esker/allowed").st_mode) == 0o700
    os.chmod(tmp_path / "data/esker/allowed", 0o777)
    assert standing(project, settings) == "unknown"
    with pytest.raises(HostError, match="others can use"):
        allow(project, settings)
    os.chmod(tmp_path / "data/esker/allowed", 0o700)
    os.chmod(path, 0o666)
    assert standing(project, settings) == "unknown"


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2}', '{"version": 1, "path": "/other", "denied": false}'])
def test_a_damaged_record_allows_nothing(project, settings, text):
    """A record that we cannot have written counts as none, and the next allowance replaces it."""
    allow(project, settings)
    with open(consent.record_path(str(project), settings), "w") as file:
        file.write(text)
    assert standing(project, settings) == "unknown"
    allow(project, settings)
    assert standing(project, settings) == "allowed"


def test_our_own_change_carries_it_over(project, settings):
    """A new lock and the manifest that we write are allowed afterwards, but no change that somebody else makes then."""
    manifest, lock = project / ".flox/env/manifest.toml", project / ".flox/env/manifest.lock"
    allow(project, settings)
    with consent.carried(str(project), settings, f"{MANIFEST}\n") as held:
        assert held
        manifest.write_text(f"{MANIFEST}\n")
        lock.write_text("new")
    assert standing(project, settings) == "allowed"
    with consent.carried(str(project), settings):
        lock.write_text("newer")
        (project / "setup-env.sh").write_text("of somebody else")
    assert standing(project, settings) == "changed"
    (project / "setup-env.sh").write_text("setup-env.sh")
    lock.write_text("new")
    with consent.carried(str(project), settings):
        manifest.write_text("of somebody else")
    assert standing(project, settings) == "changed"


def test_what_was_not_allowed_is_not_carried_over(project, settings):
    """A change of ours allows nothing by itself, and a denial holds."""
    lock = project / ".flox/env/manifest.lock"
    with consent.carried(str(project), settings) as held:
        assert not held
        lock.write_text("new")
    assert standing(project, settings) == "unknown"
    consent.deny(str(project), settings)
    with consent.carried(str(project), settings):
        lock.write_text("newer")
    assert standing(project, settings) == "denied"


def test_a_failed_change_carries_nothing_over(project, settings):
    """If the change fails, what is on disk then is not allowed."""
    allow(project, settings)

    def fail():
        with consent.carried(str(project), settings):
            (project / ".flox/env/manifest.lock").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert standing(project, settings) == "changed"


def test_a_pipe_is_not_waited_for(project):
    """A pipe in the place of a file is an error that names it."""
    (project / ".flox/pylock.toml").unlink()
    os.mkfifo(project / ".flox/pylock.toml")
    with pytest.raises(HostError, match="not a regular file"):
        consent.content(str(project))


def test_a_directory_with_such_a_name_is_none_of_the_files(project, settings):
    """A directory `x.nix` is no expression, and does not stop anything."""
    (project / "x.nix").mkdir()
    allow(project, settings)
    assert standing(project, settings) == "allowed"


def test_a_link_on_the_way_is_refused(project, tmp_path):
    """Content is read below the directory itself: a link that took its place is not followed."""
    elsewhere = project.rename(tmp_path / "elsewhere")
    project.symlink_to(elsewhere)
    with pytest.raises(HostError, match="link"):
        consent.content(str(project))


def test_the_key(settings, tmp_path):
    """The key is made once, for its owner alone, and without permission to make it there is none."""
    assert consent.seal_key(settings) is None
    key = consent.seal_key(settings, make=True)
    assert key
    assert consent.seal_key(settings, make=True) == key
    assert stat.S_IMODE(os.stat(tmp_path / "data/esker/seal-key.json").st_mode) == 0o600
    assert consent.seal_key(Settings({"XDG_DATA_HOME": "/proc/nowhere"}), make=True) is None
