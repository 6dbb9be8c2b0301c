"""Copies of `examples/traveling` in which Debian's Rails stands in for the gems of a server."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.conda_package import PLACEHOLDER, CondaPackage, package
from tests.support.interactive_shell import InteractiveShell, prepare_home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "EXAMPLE",
    "GEMFILE",
    "bundler",
    "copy",
    "free_port",
    "install_gems",
    "look_often",
    "outside",
    "passes",
    "take_ruby_from",
    "walks",
]

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
_FILL = Path(__file__).with_name("debian_gems.rb")
_MADE = ("cache", "run", "lib", "log", "vendor", "tmp", "Gemfile.lock", "manifest.lock")


def copy(directory: Path) -> Path:
    """Copy the example, without what its use has left there, into a directory, and return its place."""
    return Path(shutil.copytree(EXAMPLE, directory / "traveling", ignore=shutil.ignore_patterns(*_MADE)))


def look_often(project: Path) -> None:
    """Have the container's health looked at every half second: each start waits for the first look that succeeds."""
    file = project / "docker-compose.yml"
    text = file.read_text()
    often = text.replace("interval: 5s", "interval: 500ms").replace("retries: 5", "retries: 100")
    assert often.count("00") == text.count("00") + 2
    file.write_text(often)


def _run(command: Sequence[str], variables: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed: {done.stdout}{done.stderr}")


def install_gems(
    project: Path, gemfile: Path, run: Callable[[Sequence[str], Mapping[str, str]], object] = _run
) -> None:
    """Write a Gemfile with its lock, and put Debian's gems where the example's environment has Bundler look.

    `run` runs a command with additional variables, on the machine whose Debian it is.
    """
    gemfile.write_text(GEMFILE)
    # A lock with checksums that are empty has Bundler ask a server for them.
    run(["bundle", "lock", "--local"], {"BUNDLE_GEMFILE": str(gemfile), "BUNDLE_LOCKFILE_CHECKSUMS": "false"})
    run(["ruby", "-e", _FILL.read_text(), str(project / "vendor/bundle")], {})


def bundler() -> CondaPackage:
    """Return a conda package of this machine's Bundler, for the Ruby of `conda_debian`."""
    gems = Path("/usr/share/rubygems-integration/all")
    (specification,) = gems.glob("specifications/bundler-*.gemspec")
    files = [specification, *(gems / "gems" / specification.stem).rglob("*")]
    members: dict[str, str | bytes] = {
        str(path.relative_to("/usr")): path.read_bytes() for path in files if path.is_file()
    }
    start = f"{PLACEHOLDER}/share/rubygems-integration/all/gems/{specification.stem}/exe/bundle"
    members["bin/bundle"] = f"#!{PLACEHOLDER}/bin/ruby\nload '{start}'\n"
    return package("bundler", specification.stem.removeprefix("bundler-"), members, depends=["ruby"])


def take_ruby_from(project: Path, channel: str) -> None:
    """Declare Ruby and Bundler of a conda channel, instead of the package that Flox has."""
    file = project / ".flox/env/manifest.toml"
    text = file.read_text()
    assert text.count('ruby.pkg-path = "ruby"\n') == 1
    system = f"{os.uname().machine}-linux"
    specs = ", ".join(f'{{ spec = "{name}", systems = ["{system}"] }}' for name in ("ruby", "bundler"))
    table = f'[plugins.esker.conda]\nchannels = ["{channel}"]\ndependencies = [{specs}]\n'
    file.write_text(text.replace('ruby.pkg-path = "ruby"\n', "") + f"\n{table}")


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


def walks(shell: InteractiveShell, port: str) -> None:
    """Check what the article asks of each declaration: banner, aliases, function, tests, the scripts for the database."""
    assert f"Database: localhost:{port}" in shell.greeting
    assert shell.output("alias").count("$TRAVELING_ROOT/scripts/") == 6
    assert f"PostgreSQL is ready on port {port}." in shell.output("dbup")
    assert "Bundle complete!" in shell.output("bundle install")
    assert shell.output("command -v puma").strip().endswith("/traveling/vendor/bundle/bin/puma")
    assert "Items in the database: 1" in shell.output("be rails db:setup")
    passes(shell)
    assert "Items in the database: 1" in shell.output("dbreset")
    shell.output("dbdown")


def passes(shell: InteractiveShell) -> None:
    """Check that all tests of the example pass."""
    assert re.search(r"^11 runs, \d+ assertions, 0 failures, 0 errors, 0 skips$", shell.output("tests"), re.MULTILINE)
