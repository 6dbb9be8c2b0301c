"""How `esker activate` is called: its help, and what is said of a wrong call. A right one needs none of this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.cli.arguments import Parser
from esker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.cli.directory import Option
    from esker.cli.voice import Voice

__all__ = ["parser", "wrong_command"]

_EXAMPLES = """\
  esker activate -- pytest -q           run a command, replacing this process
  esker activate -c 'echo "$PATH"'      run a shell command
  esker activate                        start an interactive shell
  eval "$(esker activate)"              activate in this shell (bash, zsh)
  esker activate | source               activate in this shell (fish)
  esker activate -s -- pytest -q        with services for that long
  esker activate --locked -- pytest -q  in CI: fail if the lock is stale
  esker activate --json                 print changed variables; change nothing
"""


def parser(options: Sequence[Option], arguments: list[str], command: list[str] | None, voice: Voice) -> Parser:
    """Return the parser of the command line, which reports what is wrong with it or shows the help.

    `command` are the words after `--`, None if there is none.
    """
    stray = _stray(arguments, command)
    made = Parser("activate", "Run a command or a shell in the environment.", _EXAMPLES, voice=voice, stray=stray)
    made.add_options(options)
    return made


def _stray(arguments: list[str], command: list[str] | None) -> str:
    """Return the hint for words before `--` that belong to no option; the words themselves follow it."""
    if command is not None:
        return "only options stand before `--`, and -s starts every service; leave out:"
    if any(word in {"-c", "--command"} for word in arguments):
        return "quote the whole command of -c, which is one argument; these words are left over:"
    return "put the command after `--`: esker activate --"


def wrong_command(command: list[str], voice: Voice) -> UsageError:
    """Return the error for a command that is missing, or that is there twice."""
    if command:
        hint = f"leave one of them out: {voice.program} activate --help has examples of both"
        return UsageError("there are two commands, one with -c and one after `--`", hint=hint)
    hint = f"write it there: {voice.program} activate -- CMD; or leave out the `--` to start a shell"
    return UsageError("there is no command after `--`", hint=hint)
