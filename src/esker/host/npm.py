"""The npm program: asked for one value of its configuration, and for nothing else."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from esker.host import prctl
from esker.host.process import find_program
from esker.host.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["npm_registry"]

_PATIENCE = 30
"""Seconds."""


def npm_registry(variables: Mapping[str, str]) -> str | None:
    """Return the registry that npm's configuration names outside of any project; None without npm."""
    program = find_program("npm", variables.get("PATH"))
    if program is None:
        return None
    with scratch("npm") as directory:
        try:
            completed = subprocess.run(
                [program, "config", "get", "registry"],
                cwd=directory,
                env={**variables, "NO_UPDATE_NOTIFIER": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_PATIENCE,
                preexec_fn=prctl.ending_with_us(signal.SIGKILL),
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    answer = completed.stdout.decode(errors="replace").strip()
    return answer if completed.returncode == 0 and answer.startswith(("https://", "http://")) else None
