"""Machines without a container engine: a PATH without `docker`, and a `docker` that refuses in one of its ways."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ENGINE_DOWN", "NO_COMPOSE", "READS", "programs", "write_docker"]

_SAID = '{"name": "shop", "services": {"db": {"ports": [{"target": 5432}]}, "mail": {"depends_on": {"db": {}}}}}'
READS = f"""\
case "$*" in
    *version*) echo 2.30.0; exit ;;
    *--hash*) echo 'db 0123'; echo 'mail 4567'; exit ;;
    *config*) echo '{_SAID}'; exit ;;
esac
"""
"""Compose, which reads its files without an engine: a database whose port is open, and a service after it."""
ENGINE_DOWN = f"{READS}echo 'Cannot connect to the Docker daemon at unix:///x.sock. Is it running?' >&2; exit 1\n"
NO_COMPOSE = """echo "docker: 'compose' is not a docker command." >&2; exit 1\n"""
_NEEDED = ("bash", "sh", "sleep", "cat", "env", "setpriv", "unshare")


def programs(directory: Path) -> str:
    """Make a directory with links to the few programs that services need, and return it; `docker` is not there."""
    directory.mkdir()
    for name in _NEEDED:
        found = shutil.which(name)
        if found is not None:
            os.symlink(found, directory / name)
    return str(directory)


def write_docker(directory: Path, script: str) -> str:
    """Make a directory with a `docker` that is this shell script, and return it."""
    directory.mkdir(exist_ok=True)
    (directory / "docker").write_text(f"#!/bin/sh\n{script}")
    (directory / "docker").chmod(0o755)
    return str(directory)
