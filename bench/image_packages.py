"""About 770 MB of packages for the figures of images: Debian's, each unpacked into a directory of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import debian
from tests.support.debian import Apt
from tests.support.roots import Root

__all__ = ["ROOT"]

_PACKAGES = (
    *("git", "imagemagick", "nodejs", "npm", "postgresql-17", "python3-numpy"),
    *("redis-server", "ripgrep", "sqlite3", "vim"),
)


def _make(made: Path, _scratch: Path) -> None:
    with Apt("trixie") as apt:
        names = sorted(
            apt.needed(*_PACKAGES), key="{}_".format
        )  # as the files are sorted: `git_1` is after `git-man_1`
        for name, archive in zip(names, apt.archives(names), strict=True):
            (made / name).mkdir()
            command = ["tar", "-x", "-C", str(made / name), "--no-same-owner", "--exclude=./usr/share/doc"]
            subprocess.run(command, stdin=archive, check=True)


ROOT = Root(_make, (Path(__file__), Path(debian.__file__)))
"""A directory for each package; the names say nothing of versions."""
