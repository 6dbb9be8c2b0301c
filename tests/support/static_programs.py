"""Debian's bash and busybox, which need no library: what a store path, or an image of nothing else, can hold."""

from __future__ import annotations

from pathlib import Path

from tests.support import debian
from tests.support.debian import Apt
from tests.support.roots import Root

__all__ = ["ROOT", "program"]


def _make(made: Path, scratch: Path) -> None:
    with Apt("bookworm") as apt:
        apt.unpack(("bash-static", "busybox-static"), made)


ROOT = Root(_make, (Path(__file__), Path(debian.__file__)))


def program(name: str) -> Path:
    """Return the path of `bash` or `busybox`."""
    return ROOT.path() / {"bash": "bin/bash-static", "busybox": "bin/busybox"}[name]
