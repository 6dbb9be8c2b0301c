"""What `image build` keeps, so that the next call has nothing to work out: and all that makes it work out again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest

from esker.settings import Settings
from esker.ship.kept_image import keep, kept, now
from tests.cli.test_cli_images import channel, locked  # noqa: F401 - fixtures

_SETTLED = 0.1
"""Seconds after which a file counts as unchanged."""


@pytest.fixture
def marked(locked, esker):  # noqa: F811
    """Give a project whose kept image has a name that no build gives, and a function that tells whether it was used."""
    directory = locked()
    _append(directory.parent / "home/linked", "[user]\n\tname = a\n")
    (directory.parent / "home/.gitconfig").symlink_to("linked")
    time.sleep(_SETTLED)

    def uses_kept(*arguments, **variables):
        done = esker("image", "build", *arguments, **variables)
        assert done.status == 0, done.err
        return done.out.startswith("kept:latest")

    def mark(*arguments):
        assert not uses_kept(*arguments)
        for path in (directory / ".flox/cache/esker").glob("image-*.json"):
            record = json.loads(path.read_text())
            record["result"]["record"]["name"] = "kept:latest"
            path.write_text(json.dumps(record))
        assert uses_kept(*arguments)
        return uses_kept

    return directory, mark


def _append(path, text="\n# more\n"):
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


CHANGES = {
    "a tracked file": lambda it: _append(it / "app/main"),
    "another tracked file": lambda it: _git(it, (it / "app/new").write_text("new") and "app/new"),
    "another file that is not tracked": lambda it: (it / "app/loose").write_text("loose"),
    "what git ignores": lambda it: (it / ".gitignore").write_text("loose"),
    "what git ignores below": lambda it: (it / "app/.gitignore").write_text("loose"),
    "what git ignores here alone": lambda it: _append(it / ".git/info/exclude"),
    "what the user has git ignore": lambda it: _ignore_everywhere(it.parent / "home/.config/git"),
    "by which file the user has git ignore": lambda it: _configure(it.parent / "home/.config/git/config"),
    "by which file git ignores here": lambda it: _configure(it / ".git/config"),
    "git's configuration behind a link": lambda it: _configure(it.parent / "home/linked"),
    "a tracked file's mode": lambda it: (it / "app/main").chmod(0o755),
    "the manifest": lambda it: _append(it / ".flox/env/manifest.toml"),
    "the image's lock": lambda it: (it / ".flox/image.lock").unlink(),
    "the record is damaged": lambda it: _each_record(it, lambda path: path.write_text("{")),
    "the record is somebody's": lambda it: _each_record(it, lambda path: path.chmod(0o666)),
}


def _git(directory, name):
    subprocess.run(["git", "add", name], cwd=directory, check=True)


def _ignore_everywhere(directory):
    directory.mkdir(parents=True)
    (directory / "ignore").write_text("loose")


def _configure(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    _append(path, "[core]\n\texcludesFile = /ignored\n")


def _each_record(directory, change):
    found = list((directory / ".flox/cache/esker").glob("image-*.json"))
    assert found
    for path in found:
        change(path)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(marked, change):
    """Each kind of file that decides about an image is looked at; and afterwards the new state is kept."""
    directory, mark = marked
    uses_kept = mark()
    CHANGES[change](directory)
    assert not uses_kept()


def test_an_unchanged_build_loads_little(marked, environ):
    """Nothing is loaded that reads a declaration, makes an image, or opens connections."""
    directory, mark = marked
    mark()
    command = [sys.executable, "-X", "importtime", "-m", "esker", "image", "build"]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.stdout.startswith("kept:latest")
    assert "esker.ship.kept_image" in loaded
    assert not loaded & {"msgspec", "tomlkit", "packaging", "subprocess", "http.client", "ssl", "asyncio", "inspect"}


def test_what_is_asked_counts(marked, tmp_path):
    """Other options, variables and systems are other images."""
    _, mark = marked
    uses_kept = mark()
    assert not uses_kept("--tag", "other")
    assert not uses_kept("--label", "a=b")
    assert not uses_kept("--mode", "run")
    assert not uses_kept(SOURCE_DATE_EPOCH="1000000000")
    assert not uses_kept("-f", tmp_path / "archive.tar")


def test_a_layout_is_looked_at(marked, tmp_path):
    """The files of the layout are among those that are looked at."""
    _, mark = marked
    layout = tmp_path / "layout"
    uses_kept = mark("--layout", layout)
    next(path for path in (layout / "blobs/sha256").iterdir() if path.stat().st_size > 200).unlink()
    assert not uses_kept("--layout", layout)
    shutil.rmtree(layout)
    assert not uses_kept("--layout", layout)
    assert (layout / "index.json").exists()


def test_what_is_left_out_is_said_each_time(locked, esker):  # noqa: F811
    """A warning does not vanish because nothing has changed."""
    directory = locked('vars = { APP_MOD = false }\n[vars]\nAPP_MODE = "a"\n')
    for name in "abcdefg":
        (directory / f"app/{name}").write_text("loose")
    (directory / ".gitignore").write_text("g\n")
    time.sleep(_SETTLED)
    said = [esker("image", "build").err for _ in range(3)]
    listed = ", ".join(f"`app/{name}`" for name in "abcde")
    assert all(f"git does not track it: {listed} and 1 more (all: esker image inspect)" in each for each in said)
    assert all("`APP_MOD = false` takes out what nothing sets; did you mean `APP_MODE`?" in each for each in said)
    assert said[1] == said[2]
    inspected = esker("image", "inspect").out
    assert "app/f is not in the image" in inspected
    assert "app/g" not in inspected


def test_a_file_that_changes_meanwhile_keeps_nothing(tmp_path):
    """A file that has just changed may have been read before or after: then the next call works it out again."""
    (tmp_path / ".flox").mkdir()
    project, settings = str(tmp_path), Settings({"HOME": str(tmp_path), "UV_INDEX_X_PASSWORD": "hunter2"})
    source = tmp_path / "source"
    source.write_text("1")
    time.sleep(_SETTLED)
    since = now()
    keep(project, ["a"], settings, since=since, inputs=[str(source)], result={"x": 1})
    assert kept(project, ["a"], settings) == {"x": 1}
    assert kept(project, ["b"], settings) is None
    [path] = (tmp_path / ".flox/cache/esker").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in path.read_text()
    source.write_text("2")
    assert kept(project, ["a"], settings) is None
    keep(project, ["a"], settings, since=since, inputs=[str(source)], result={"x": 2})
    assert kept(project, ["a"], settings) is None
