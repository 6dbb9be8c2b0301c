"""Real Nix with a store of its own, and projects that are declared for it.

The store lies below a temporary directory, and nothing is read from the user's settings or fetched from anywhere. Its
`nixpkgs` is the small stand-in of `nixpkgs/`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NIXPKGS", "Nix", "NixProject", "Ran"]

NIXPKGS = Path(__file__).parent / "nixpkgs"
_FEATURES = ("--extra-experimental-features", "nix-command flakes")
_SETTINGS = """\
experimental-features = nix-command flakes
substituters =
sandbox = false
build-users-group =
flake-registry =
"""


class Ran(NamedTuple):
    """How a program ended, and what it printed."""

    status: int
    out: str
    err: str


class Nix:
    """A Nix with a store, settings and a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.settings = directory / "conf/nix.conf"
        for made in (self.home, self.settings.parent):
            made.mkdir(parents=True, exist_ok=True)
        self.settings.write_text(_SETTINGS)
        self.nixpkgs = directory / "nixpkgs"
        if not self.nixpkgs.exists():
            shutil.copytree(NIXPKGS, self.nixpkgs)
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "SHELL": "/bin/bash",
            "TERM": "dumb",
            "ESKER_STORE": str(directory / "store-root"),
            "NIX_CONF_DIR": str(self.settings.parent),
            "NIX_STORE_DIR": str(directory / "nix/store"),
            "NIX_STATE_DIR": str(directory / "nix/var/nix"),
            "NIX_LOG_DIR": str(directory / "nix/var/log"),
            "NIX_PATH": f"nixpkgs={self.nixpkgs}",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def __call__(self, *arguments: str, cwd: Path, check: bool = True, **variables: str) -> Ran:
        """Run `nix` with arguments."""
        return self.run(["nix", *_FEATURES, *arguments], cwd=cwd, check=check, environ=self.environ | variables)

    def run(
        self, argv: list[str], *, cwd: Path, environ: Mapping[str, str], check: bool = False, stdin: str = ""
    ) -> Ran:
        """Run a program, and return what it printed."""
        done = subprocess.run(
            argv, cwd=cwd, env=dict(environ), input=stdin, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0 or not check, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def project(self, files: Mapping[str, str], name: str = "project", *, git: bool = True) -> NixProject:
        """Return a project with these files, which git tracks."""
        project = NixProject(self, self.directory / name)
        project.directory.mkdir(parents=True)
        for path, text in files.items():
            project.write(path, text)
        if git:
            project.git("init", "--quiet", "--initial-branch=main")
            project.git("add", "--all")
        return project

    def remove(self) -> None:
        """Remove everything; what Nix has built cannot be written."""
        subprocess.run(["chmod", "-R", "u+w", str(self.directory / "nix")], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)


class NixProject:
    """A project that is declared for Nix."""

    def __init__(self, nix: Nix, directory: Path) -> None:
        self.nix = nix
        self.directory = directory

    def write(self, path: str, text: str) -> Path:
        """Write a file of the project."""
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def git(self, *arguments: str) -> str:
        """Run git in the project, and return what it printed."""
        words = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
        return self.nix.run(words, cwd=self.directory, environ=self.nix.environ, check=True).out

    def esker(self, *arguments: str, stdin: str = "", cwd: Path | None = None, **variables: str) -> Ran:
        """Run `esker` in the project; variables may be set for it."""
        argv = [sys.executable, "-m", "esker", *arguments]
        return self.nix.run(argv, cwd=cwd or self.directory, environ=self.nix.environ | variables, stdin=stdin)

    def activate(self, *arguments: str, **how: Any) -> str:
        """Run a command in the project's environment, and return what it printed; it must succeed."""
        ran = self.esker("activate", *arguments, **how)
        assert ran.status == 0, ran.err
        return ran.out

    def variables(self, *options: str, **how: Any) -> dict[str, str]:
        """Return the variables of a command in the environment."""
        return _variables(self.activate(*options, "--", "env", "-0", **how))

    def develop(self, *options: str) -> dict[str, str]:
        """Return the variables of a command that `nix develop` runs."""
        printed = self.nix("develop", "--no-write-lock-file", *options, "-c", "env", "-0", cwd=self.directory).out
        return _variables(printed)


def _variables(printed: str) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in printed.split("\0") if "=" in entry)
