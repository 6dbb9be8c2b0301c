"""Where a figure is taken: a temporary directory with a home, a store and variables of its own."""

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
STEERING = ("ESKER_", "FLOX_", "_FLOX_", "PYTHON", "UV_PROJECT", "VIRTUAL_ENV", "XDG_")


@dataclass(frozen=True)
class Workspace:
    """A directory, and the variables commands see in it."""

    directory: Path
    environment: Mapping[str, str]
    uv: str
    """The uv that Esker itself uses."""

    def run(self, *command: str | Path, directory: Path | None = None, home: Path | None = None) -> Cost:
        """Run a command, in `directory` and with another `home` where they are given."""
        environment = dict(self.environment) if home is None else {**self.environment, **_home(home)}
        return run([str(word) for word in command], environment=environment, directory=str(directory or self.directory))


@contextmanager
def workspace() -> Iterator[Workspace]:
    """Make a workspace, with empty caches outside its home, and remove it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="esker-bench-")).resolve()
    home = directory / "home"
    home.mkdir()
    kept = {word: value for word, value in os.environ.items() if not word.startswith(STEERING)}
    caches = {"UV_CACHE_DIR": str(directory / "uv-cache"), "PIP_CACHE_DIR": str(directory / "pip-cache")}
    try:
        yield Workspace(directory, {**kept, **caches, **_home(home)}, uv.find_uv_bin())
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    """Remove a directory that may hold a store, whose directories are read-only."""
    for parent, _, _ in os.walk(directory):
        os.chmod(parent, 0o700)
    shutil.rmtree(directory)


def _home(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "ESKER_STORE": str(home / "store")}
