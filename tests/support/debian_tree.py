"""Directories with Debian packages of another suite, unpacked: roots in which newer programs than the machine's run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.support.debian import COPIES, FILES, LINKS, Apt

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_tree"]

_BASE = ("base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "mount", "util-linux")


def make_tree(directory: Path, suite: str, *names: str) -> None:
    """Unpack packages of a suite into a directory, with all that they need."""
    with Apt(suite) as apt:
        apt.unpack(apt.needed(*_BASE, *names), directory)
    for place, source in COPIES.items():
        shutil.copy(directory / source, directory / place)
    for place, text in FILES.items():
        (directory / place).write_text(text)
    for place, target in LINKS.items():
        shutil.rmtree(directory / place, ignore_errors=True)
        (directory / place).symlink_to(target)
    for each in ("doc", "man", "info", "locale"):
        shutil.rmtree(directory / "usr/share" / each, ignore_errors=True)
