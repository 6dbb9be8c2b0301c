"""Where a figure is taken: a temporary directory with its own home, store and environment variables."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from bench.measure import Cost, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Workspace", "workspace"]

ESKER = str(Path(sys.executable).with_name("esker"))
# Prefixes of variables that steer Esker, Flox, Python or uv, and so must not come from the caller.
STEERING = ("ESKER_", "FLOX_", "_FLOX_", "PYTHON", "UV_PROJECT", "VIRTUAL_ENV", "XDG_")


@dataclass(frozen=True)
class Workspace:
    """A directory, and the environment variables of the commands that run in it."""

    directory: Path
    environment: Mapping[str, str]
    uv: str
    """The uv that Esker itself uses."""

    def run(self, *command: str | Path, directory: Path | None = None, home: Path | None = None) -> Cost:
        """Run a command, in another `directory` and with another `home` if they are given."""
        environment = dict(self.environment) if home is None else {**self.environment, **_home(home)}
        return run([str(word) for word in command], environment=environment, directory=str(directory or self.directory))

    def start_script(self) -> str:
        """Write a start script of this Esker, as `esker shim esker` does for users, and return its path."""
        self.run(ESKER, "-q", "shim", "esker", self.directory / "bin")
        return str(self.directory / "bin" / "esker")


@contextmanager
def workspace() -> Iterator[Workspace]:
    """Make a workspace, and remove it at the end. Its caches start empty, and lie outside its home."""
    directory = Path(tempfile.mkdtemp(prefix="esker-bench-")).resolve()
    home = directory / "home"
    home.mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
    caches = {"UV_CACHE_DIR": str(directory / "uv-cache"), "PIP_CACHE_DIR": str(directory / "pip-cache")}
    try:
        yield Workspace(directory, {**inherited, **caches, **_home(home)}, uv.find_uv_bin())
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    """Remove a directory that may hold a store, whose directories are read-only."""
    for parent, _, _ in os.walk(directory):
        os.chmod(parent, 0o700)
    shutil.rmtree(directory)


def _home(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "ESKER_STORE": str(home / "store")}
