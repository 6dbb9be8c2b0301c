"""`esker deactivate`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser
from esker.errors import UsageError
from esker.host.variables import inherited

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_environments
    from esker.activate.shells.shell import evaluating
    from esker.cli.leaving import detach

    summary = "Leave the environment that was activated last, and undo what its activation changed."
    examples = '  esker deactivate\n  eval "$(esker deactivate)"    if the shell has no `esker` function'
    parser = Parser(name, summary, examples, voice=voice)
    parser.add_argument(
        "-p", "--print-script", action="store_true", help="print the script for `eval`, even on a terminal"
    )
    parser.add_argument("--profile", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "invocation_types", nargs="?", metavar="TYPES", help=argparse.SUPPRESS
    )  # Flox's scripts pass it
    options = parser.parse_args(arguments)
    environ = inherited()
    shell = evaluating(environ)
    if options.profile:  # this is how the text for a shell calls us after its profile scripts
        sys.stdout.buffer.write(shell.remember_profile(environ, os.fsdecode(sys.stdin.buffer.read())).encode())
        return 0
    text = shell.deactivation(environ, program=voice.path())
    if text is None and voice.remarks and active_environments(environ.get(ACTIVE_ENVIRONMENTS)):
        voice.say("ℹ The environment is that of a command, `activate -- CMD`, and ends with it: exit")
    elif text is None:
        voice.say("ℹ No environment active!")
    elif sys.stdout.isatty() and not options.print_script:
        hint = f"run: {shell.evaluation('esker deactivate')}"
        raise UsageError("a command cannot change the shell that runs it", hint=hint)
    else:
        sys.stdout.buffer.write(text.encode())
        detach(environ)
    return 0
