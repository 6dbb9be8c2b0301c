"""Copies of `examples/traveling` in which Debian's Rails stands in for the gems of a server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.interactive_shell import prepare_home

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXAMPLE", "GEMFILE", "copy", "free_port", "install_gems", "outside"]

EXAMPLE = Path(__file__).parents[2] / "examples/traveling"
GEMFILE = """\
source Gem.sources.first.uri.to_s
gem "rails", ">= 6.1"
gem "pg"
gem "puma"
gem "bootsnap", require: false
gem "debug", require: false, group: %i[development test]
"""
"""What the example's own says, without the gem that Debian has not."""
_MADE = ("cache", "run", "lib", "vendor", "tmp", "Gemfile.lock", "manifest.lock")


def copy(directory: Path) -> Path:
    """Copy the example, without what its use has left there, into a directory, and return its place."""
    return Path(shutil.copytree(EXAMPLE, directory / "traveling", ignore=shutil.ignore_patterns(*_MADE)))


def install_gems(project: Path, gemfile: Path) -> None:
    """Write a Gemfile with its lock, and put Debian's gems where the example's environment has Bundler look."""
    gemfile.write_text(GEMFILE)
    environ = {"PATH": os.environ["PATH"], "BUNDLE_GEMFILE": str(gemfile), "HOME": str(gemfile.parent)}
    _run("bundle", "lock", "--local", environ=environ)
    _run("ruby", str(Path(__file__).with_name("debian_gems.rb")), str(project / "vendor/bundle"), environ=environ)


def outside(home: Path, gemfile: Path) -> dict[str, str]:
    """Return variables of a person who uses the example: a prompt that tells statuses, and the tests' own Gemfile."""
    prepare_home(home)
    plain = ("USE_MULTILINE", "USE_READLINE", "USE_SINGLELINE", "USE_AUTOCOMPLETE", "USE_COLORIZE")
    (home / ".irbrc").write_text("".join(f"IRB.conf[:{name}] = false\n" for name in plain))
    return {"HOME": str(home), "BUNDLE_GEMFILE": str(gemfile), "BUNDLE_SILENCE_ROOT_WARNING": "1"}


def free_port() -> str:
    """Return a port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def _run(*command: str, environ: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed: {done.stdout}{done.stderr}")
