"""The `nix` program: run without questions, so that nothing is ever answered for the user.

It asks whether a flake may change Nix's configuration (`nixConfig`). It reads nothing here, and takes that for a no.
What the user has answered before, at their own `nix`, still counts.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING

from esker.activate.program_of_tool import program_of_tool
from esker.errors import ActivationFailed, HostError, NotFound
from esker.formats.urls import redact
from esker.host import prctl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["run_nix"]

_FEATURES = ("--extra-experimental-features", "nix-command flakes")
_LAST_LINES = 60


def run_nix(
    arguments: Sequence[str], variables: Mapping[str, str], *, cwd: str, alone: str, command: str = "develop"
) -> tuple[bytes, str]:
    """Run Nix and return what it wrote to stdout and to stderr.

    Raises NotFound without Nix, and ActivationFailed when it fails, with its message and with `alone`, the arguments
    of a `nix COMMAND` that fails alike.
    """
    program = program_of_tool("nix", variables.get("PATH"))
    if program is None:
        raise NotFound("`nix` is not on PATH", hint="install Nix")
    try:
        done = subprocess.run(
            [program, *_FEATURES, *arguments],
            cwd=cwd,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            preexec_fn=prctl.ending_with_us(signal.SIGTERM),
        )
    except OSError as error:
        raise HostError(f"`{program}` could not be started: {os.strerror(error.errno or 0)}") from error
    said = redact(done.stderr.decode(errors="replace")).strip()
    if done.returncode != 0:
        last = "\n".join(said.splitlines()[-_LAST_LINES:])
        raise ActivationFailed(
            f"Nix gives no environment for `{cwd}`; it says:\n{last}",
            hint=f"correct what Nix names, and try it alone: nix {shlex.join(_FEATURES)} {command} {alone}",
        )
    return done.stdout, said
