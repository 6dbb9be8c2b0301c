"""The git program: run without questions, and without what the caller's variables say of another repository."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from esker.errors import CommandFailed, HostError, NotFound
from esker.formats.urls import redact
from esker.host import prctl
from esker.host.process import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["run_git"]

_LAST_WORDS = 2000
_OF_A_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)
"""Variables that a hook of git sets, and that would lead us to the repository whose hook runs us."""
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never")
"""A repository that we only read runs nothing of its own."""


def run_git(arguments: Sequence[str], variables: Mapping[str, str], *, cwd: str) -> bytes:
    """Run git and return what it wrote to stdout; raises NotFound without git, and CommandFailed when git fails."""
    program = find_program("git", variables.get("PATH"))
    if program is None:
        raise NotFound("git is not installed, and a package comes from a repository", hint="install git")
    environ = {name: value for name, value in variables.items() if name not in _OF_A_REPOSITORY} | _QUIET
    try:
        completed = subprocess.run(
            [program, *_NO_HOOKS, *arguments],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            preexec_fn=prctl.ending_with_us(signal.SIGKILL),
        )
    except OSError as error:
        raise HostError(f"`{program}` could not be started: {os.strerror(error.errno or 0)}") from error
    if completed.returncode != 0:
        output = redact(completed.stderr.decode(errors="replace").strip())[-_LAST_WORDS:]
        raise CommandFailed(
            f"`git {arguments[0]}` ended with status {completed.returncode}: {output.rpartition(chr(10))[2]}",
            status=completed.returncode,
            output=output,
        )
    return completed.stdout
