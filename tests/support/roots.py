"""What tests need and what is large: made once, kept in a cache, and used again.

    path = ROOT.path()                   # in a test: made now if it is not there
    script/roots [NAME…]                 # before the tests: all of them, or those named

A root is a directory that `make` fills. It is kept under the hash of its recipe, which is the text of the files that
make it: after a change of them another root is made. What has been made stays, even if apt offers newer versions.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Root", "main"]

_MODULES = {
    "ci_machine": "tests.support.ci.machine",
    "ci_programs": "tests.support.ci.programs",
    "ci_wheels": "tests.support.ci.wheels",
    "conda": "tests.support.conda_debian",
    "desktop": "tests.support.conda_desktop",
    "sysroot": "tests.support.conda_sysroot",
    "docker": "tests.support.containers.programs",
    "base": "tests.support.base_image",
    "image-tools": "tests.support.image_tools",
    "images": "tests.support.containers.images",
    "sid": "tests.support.sid.root",
    "static": "tests.support.static_programs",
}
"""The module of each root, which has it as `ROOT`."""


@dataclass(frozen=True)
class Root:
    """A directory in the cache, and how it is made."""

    make: Callable[[Path, Path], None]
    """Fills the first directory, which is empty; the second is for what is not kept. Raises RuntimeError."""
    recipe: tuple[Path, ...]
    """The files, or directories of files, whose text is the recipe."""
    also: str = ""
    """What else the recipe depends on, such as the kind of machine."""

    @property
    def key(self) -> str:
        """The hash of the recipe."""
        digest = hashlib.sha256(f"{os.uname().machine} {self.also}".encode())
        for each in self.recipe:
            for file in sorted(each.rglob("*")) if each.is_dir() else [each]:
                if file.is_file():
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:32]

    def path(self) -> Path:
        """Return the directory, which is made if no cache has it; a second caller waits for the first."""
        for directory in _cache_directories():
            if (directory / self.key).is_dir():
                return directory / self.key
        cache = next(each for each in _cache_directories() if _is_writable(each))
        with open(cache / f".{self.key}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (cache / self.key).is_dir():
                self._make(cache)
        return cache / self.key

    def _make(self, cache: Path) -> None:
        """Make the directory beside its place and rename it at the very end, so that nothing half-made is there."""
        directories = made, scratch = cache / f".{self.key}.making", cache / f".{self.key}.scratch"
        try:
            for directory in directories:
                shutil.rmtree(directory, ignore_errors=True)  # what a killed run has left
                directory.mkdir()
            self.make(made, scratch)
            shutil.rmtree(scratch)
            made.chmod(0o755)
            made.rename(cache / self.key)
        finally:
            for directory in directories:
                shutil.rmtree(directory, ignore_errors=True)


def _cache_directories() -> list[Path]:
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return [Path("/var/cache/esker/roots"), own / "esker/roots"]


def _is_writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except PermissionError:
        return False
    return os.access(directory, os.W_OK)


def main(names: list[str]) -> int:
    """Make the roots of these names, or all of them; return the exit status."""
    unknown = [name for name in names if name not in _MODULES]
    if unknown:
        print(f"script/roots: there is no root `{unknown[0]}`", file=sys.stderr)  # noqa: T201
        print(f"hint: the roots are {', '.join(sorted(_MODULES))}", file=sys.stderr)  # noqa: T201
        return 2
    for name in names or _MODULES:
        started = time.monotonic()
        path = import_module(_MODULES[name]).ROOT.path()
        print(f"{name}: {path} ({time.monotonic() - started:.1f} s)", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
