"""mise, a peer that npm brings: `@jdxcode/mise-linux-x64`."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.workspace import Workspace

__all__ = ["ABSENT", "installed"]

_PACKAGE = "@jdxcode/mise-linux-x64"
ABSENT = f"mise takes no part: npm could not install {_PACKAGE} here."
"""What a figure says without it."""


def installed(space: Workspace) -> str | None:
    """Install mise below the workspace, and return its path; None if that is impossible."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    prefix = space.directory / "npm"
    done = subprocess.run([npm, "install", "--silent", "--prefix", prefix, _PACKAGE], capture_output=True, check=False)
    programs = [path for path in prefix.glob("node_modules/@jdxcode/*/bin/mise") if path.is_file()]
    return str(programs[0]) if done.returncode == 0 and programs else None
