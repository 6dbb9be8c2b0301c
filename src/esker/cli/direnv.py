"""`use esker` in the .envrc of direnv.

direnv sets and unsets variables as one enters and leaves a directory, and takes them from a bash of its own. It asks
for consent to the .envrc alone, and runs it again when a file changes that it watches. So what `use esker` may take is
what the prompt may: an environment that is ready, and whose content the user has allowed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.prompt.look import look
from esker.activate.shell_file import shell_text
from esker.activate.shells import bash, undo
from esker.activate.shells.assignments import quoted
from esker.activate.shells.steps import Variables
from esker.cli.commands.activate import in_shell
from esker.declare.discover import find
from esker.errors import ActivationFailed
from esker.host import process_table
from esker.host.calling_shell import calling_shell
from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import SimpleNamespace

    from esker.activate.difference import Activation
    from esker.cli.voice import Voice

__all__ = ["library", "text"]

_DIRENV = 1
"""The processes between the bash that reads .envrc and the shell that called direnv."""


def library(program: str) -> str:
    """Return the function `use_esker`, for the file of direnv with functions of the user."""
    file = f"{os.path.dirname(bash.__file__)}/use_esker.bash"
    return f"_esker_asked_program={quoted(program)}\n{shell_text(file)}"


def text(directory: str, environ: Mapping[str, str], options: SimpleNamespace, voice: Voice) -> str:
    """Return what direnv's bash evaluates for the project in `directory`.

    Raises ActivationFailed, and what the activation raises, if the environment cannot be entered.
    """
    found = look(find(directory, explicit=True), Settings(environ))
    plan, watches = found.plan, "".join(f"watch_file {quoted(path)}\n" for path in found.watched)
    if found.problem is not None:
        voice.say(f"! {found.line}")
    if plan is None:
        return watches

    def variables(activate: Callable[[Mapping[str, str]], Activation]) -> list[Variables]:
        return [Variables(undo.enter(plan, environ, activate))]

    steps, _ = in_shell(plan, options, environ, voice, variables, pid=_shell_of_direnv())
    return watches + bash.renderer().evaluated(steps, environ)


def _shell_of_direnv() -> int:
    """Return the pid of the shell whose prompt has called direnv; it uses the environment, while bash ends at once."""
    above = process_table.ancestors(calling_shell(), process_table.table())
    if len(above) <= _DIRENV:
        raise ActivationFailed("`use esker` was not called by direnv", hint="write it into the .envrc of a project")
    return above[_DIRENV]
