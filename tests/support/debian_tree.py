"""A directory with Debian packages of another suite, unpacked, that programs can have as their root.

What the scripts of an installation would do is done here as far as programs need it: users, names, and a few links.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.support.debian import Apt

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_tree"]

_BASE = ("base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "mount", "util-linux")


def make_tree(directory: Path, suite: str, *names: str) -> None:
    """Unpack packages of a suite into a directory, with all that they need."""
    with Apt(suite) as apt:
        apt.unpack(apt.needed(*_BASE, *names), directory)
    for name in ("passwd", "group"):
        shutil.copy(directory / f"usr/share/base-passwd/{name}.master", directory / f"etc/{name}")
    (directory / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for place, target in {"var/run": "/run", "var/lock": "/run/lock"}.items():
        shutil.rmtree(directory / place, ignore_errors=True)
        (directory / place).symlink_to(target)
    for each in ("doc", "man", "info", "locale"):
        shutil.rmtree(directory / "usr/share" / each, ignore_errors=True)
