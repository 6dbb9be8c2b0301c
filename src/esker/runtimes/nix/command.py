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
from esker.host.accounts import account
from esker.runtimes.nix.files import untracked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["check_store", "run_nix"]

_FEATURES = ("--extra-experimental-features", "nix-command flakes")
_LAST_LINES = 60
_STORE_HINT = "start Nix's daemon, or let your user write to the store; try it: nix store ping"
_REFUSALS = ("Permission denied", "Operation not permitted")


def run_nix(
    arguments: Sequence[str], variables: Mapping[str, str], *, cwd: str, alone: str, command: str = "develop"
) -> tuple[bytes, str]:
    """Run Nix and return what it wrote to stdout and to stderr.

    Raises NotFound without Nix, and ActivationFailed when it fails, with its message and with `alone`, the arguments
    of a `nix COMMAND` that fails alike.
    """
    status, output, said = _run(arguments, variables, cwd)
    if status != 0:
        last = "\n".join(said.splitlines()[-_LAST_LINES:])
        hint = f"correct what Nix names, and try it alone: nix {shlex.join(_FEATURES)} {command} {alone}"
        if path := untracked(cwd, variables, said):
            hint = f"a flake has only the files that git tracks: git -C {shlex.quote(cwd)} add {shlex.quote(path)}"
        raise ActivationFailed(
            f"Nix gives no environment for `{cwd}`; it says:\n{last}", hint=_of_another_user(variables, said) or hint
        )
    return output, said


def check_store(variables: Mapping[str, str]) -> None:
    """Raise ActivationFailed if Nix cannot use its store, or cannot write to it."""
    status, _, said = _run(["store", "ping"], variables, "/")
    store = variables.get("NIX_STORE_DIR") or "/nix/store"
    if status != 0:
        last = said.partition("error: ")[2] or said
        raise ActivationFailed(
            f"Nix cannot use its store: {last}", hint=_of_another_user(variables, said) or _STORE_HINT
        )
    if "Store URL: local" in said and not os.access(store, os.W_OK):  # no daemon writes for us
        raise ActivationFailed(f"Nix has no daemon here, and you cannot write to `{store}`", hint=_STORE_HINT)


def _of_another_user(variables: Mapping[str, str], said: str) -> str | None:
    """Return what to do if Nix has failed because its files belong to another user, and no daemon writes them."""
    if not any(refusal in said for refusal in _REFUSALS):
        return None
    state = variables.get("NIX_STATE_DIR") or "/nix/var/nix"
    if variables.get("NIX_REMOTE") or os.path.exists(f"{state}/daemon-socket/socket") or os.access(state, os.W_OK):
        return None
    try:
        owner = os.stat(state).st_uid
    except OSError:
        return None
    name = account(owner).name
    return f"Nix's files (`{state}`) belong to `{name}`, and no daemon writes them for you: start nix-daemon"


def _run(arguments: Sequence[str], variables: Mapping[str, str], cwd: str) -> tuple[int, bytes, str]:
    """Run Nix, and return its status and what it wrote to stdout and to stderr; raises NotFound and HostError."""
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
    return done.returncode, done.stdout, redact(done.stderr.decode(errors="replace")).strip()
