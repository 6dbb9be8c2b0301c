"""The runtime `guix` with a small stand-in for Guix: what is asked of it, what is kept, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from esker.activate.lists import put_before
from esker.errors import NotFound
from esker.flox import Flox
from tests.support.guix_stand_in import put_on_path

pytestmark = pytest.mark.slow

_MANIFEST = """
PATH :=/profile/bin
HELLO_PATH :=/profile/share:/profile/lib
LUA_PATH ;=/profile/?.lua
CATALOGS  =/profile/one
HELLO_ETC=/profile/etc
"""


class _Project:
    """A project, a stand-in for Guix, and variables of a caller who has nothing else."""

    def __init__(self, directory):
        self.path = directory / "project"
        self.path.mkdir()
        (directory / "bin").mkdir()
        self._asked = put_on_path(directory / "bin")
        self.variables = {
            "PATH": f"{directory}/bin:/usr/bin:/bin",
            "HOME": str(directory / "home"),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "ESKER_STORE": str(directory / "store"),
        }
        (directory / "run").mkdir(mode=0o700)

    def write(self, name, text):
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def run(self, *words, **variables):
        command = [sys.executable, "-m", "esker", *words]
        environ = self.variables | variables
        return subprocess.run(command, cwd=self.path, env=environ, capture_output=True, text=True, check=False)

    def environment(self, *words, **variables):
        done = self.run("activate", *words, "--", "env", "-0", **variables)
        assert done.returncode == 0, done.stderr
        return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)

    def asked(self):
        """Return the calls of Guix since the last time."""
        lines = self._asked.read_text().splitlines() if self._asked.exists() else []
        self._asked.unlink(missing_ok=True)
        return lines


@pytest.fixture
def project(tmp_path):
    """Give a project with a manifest.scm."""
    made = _Project(tmp_path)
    made.write("manifest.scm", _MANIFEST)
    return made


def test_search_paths_stand_before_the_caller_s(project):
    """With the separator that Guix has for each; a variable without one is replaced, and others are the caller's."""
    own = {
        "HELLO_PATH": "/own:/profile/lib",
        "LUA_PATH": "/own;;",
        "CATALOGS": "/own",
        "HELLO_ETC": "/own",
        "TZ": "UTC",
    }
    for _ in range(2):  # asked, and kept
        environment = project.environment(**own)
        assert environment["HELLO_PATH"] == "/profile/share:/profile/lib:/own"
        assert environment["LUA_PATH"] == "/profile/?.lua;/own;;"
        assert environment["CATALOGS"] == "/profile/one /own"
        assert environment["HELLO_ETC"] == "/profile/etc"
        assert environment["TZ"] == "UTC"
        assert environment["PATH"] == f"/profile/bin:{project.variables['PATH']}"
    assert project.environment()["LUA_PATH"] == "/profile/?.lua"
    assert "TZ" not in project.environment()
    assert len(project.asked()) == 2


def test_within_an_activation_lists_stay_as_they_are(project):
    """A second activation inside of the first puts nothing before them again."""
    inside = project.run("activate", "--", sys.executable, "-m", "esker", "activate", "--", "env", "-0").stdout
    environment = dict(entry.split("=", 1) for entry in inside.split("\0") if entry)
    assert environment["HELLO_PATH"] == "/profile/share:/profile/lib"
    assert environment["CATALOGS"] == "/profile/one"


def test_channels_go_through_the_time_machine(project):
    """And a line tells how to pin the channels where nothing does."""
    done = project.run("activate", "--", "true")
    assert "! No channels.scm pins Guix" in done.stderr
    assert all(call.startswith("shell ") for call in project.asked())
    project.write("channels.scm", '(list (channel (name \'guix))) ; (commit "…")')
    assert "! channels.scm names no commit" in project.run("activate", "--", "true").stderr
    assert all(call.startswith(f"time-machine --channels={project.path}/channels.scm -- ") for call in project.asked())
    project.write("channels.scm", '(list (channel (name \'guix) (commit "0123")))')
    assert "!" not in project.run("activate", "--", "true").stderr


def test_a_manifest_that_fails(project):
    """Guix's message is the error's, and what was kept before counts again when the mistake is undone."""
    before = project.environment()
    project.write("manifest.scm", "error no such package")
    done = project.run("activate", "--", "true")
    assert done.returncode == 1
    assert (
        f"Guix gives no environment for `{project.path}`; it says:\nguix shell: error: no such package" in done.stderr
    )
    assert "hint: " in done.stderr
    project.write("manifest.scm", _MANIFEST)
    project.asked()
    assert project.environment()["GUIX_ENVIRONMENT"] == before["GUIX_ENVIRONMENT"]
    assert project.asked() == []


def test_only_one_profile_is_kept(project):
    """The link of an earlier answer is gone when there is another."""
    project.environment()
    project.write("manifest.scm", "OTHER=1")
    project.environment()
    (directory,) = (project.path.parent / "home/.local/state/esker/projects").glob("guix-*/run")
    assert os.listdir(directory) == ["guix"]


def test_a_sourced_exec_ends_the_script(project):
    """It is not run: what was set before it counts, and a line says so."""
    project.write("setup-env.sh", "export BEFORE=1\nexec false\nexport AFTER=1\n")
    done = project.run("activate", "--", "sh", "-c", 'echo "$BEFORE ${AFTER-none}"')
    assert done.stdout == "1 none\n"
    assert "! The setup-env.sh ended with `exec false`" in done.stderr


def test_without_guix(project):
    """The error names it, and what else can be done."""
    done = project.run("activate", "--", "true", PATH="/usr/bin:/bin")
    assert done.returncode == 1
    assert f"`guix` is not on PATH, and `{project.path}` is declared for it" in done.stderr
    assert "hint: install guix" in done.stderr


@pytest.mark.parametrize("option", [("--shell", "ci"), ("--override-input", "nixpkgs=."), ("--impure",)])
def test_what_only_nix_knows(project, option):
    """An option of another tool is refused before anything is asked."""
    done = project.run("activate", *option, "--", "true")
    assert done.returncode == 2
    assert f"{option[0]} is for Nix, and this environment comes from Guix" in done.stderr
    assert project.asked() == []


def test_a_manifest_that_is_not_there(project):
    """The error names the file that `[plugins.esker.guix]` does."""
    project.write(".flox/env.json", '{"name": "it", "version": 1}')
    table = '[plugins.esker]\nruntime = "guix"\nguix.manifest = "guix/all.scm"\n'
    project.write(".flox/env/manifest.toml", f'schema-version = "1.14.0"\n{table}')
    done = project.run("activate", "--", "true")
    assert done.returncode == 1
    assert f"there is no `guix/all.scm` in `{project.path}`" in done.stderr
    project.write("guix/all.scm", _MANIFEST)
    assert project.environment()["HELLO_ETC"] == "/profile/etc"
    assert f"--manifest={project.path}/guix/all.scm" in project.asked()[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_stranger_s_manifest_runs_nothing(project):
    """A manifest is a program: whoever can change it must be trusted first."""
    for name in ("manifest.scm", "setup-env.sh"):
        project.write(name, _MANIFEST if name == "manifest.scm" else "")
        os.chown(project.path / name, 4711, -1)
        done = project.run("activate", "--", "true")
        assert done.returncode == 1
        assert "uid 4711" in done.stderr
        assert "esker trust" in done.stderr
        assert project.asked() == []
        os.chown(project.path / name, 0, -1)


def test_putting_elements_before_others():
    """Those that are there already move to the front; empty ones keep their places."""
    assert put_before("a:b", "c:b::d", ":") == "a:b:c::d"
    assert put_before("a", None, ";") == "a"
    assert put_before("a b", "b", " ") == "a b"


def test_the_flox_face_takes_the_declared_runtime(project, monkeypatch):
    """By default; an engine that needs a `.flox` says that there is none."""
    for name, value in project.variables.items():
        monkeypatch.setenv(name, value)
    with Flox(project.path):
        assert os.environ["HELLO_ETC"] == "/profile/etc"
    with pytest.raises(NotFound, match="does not exist"), Flox(project.path, engine="native"):
        pass
