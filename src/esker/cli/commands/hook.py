"""`esker hook`: what a start-up file evaluates, so that the shell activates environments at its prompts."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.activate.shells.shell import NAMES, shell
from esker.cli.arguments import Parser
from esker.host.process import find_program

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    examples = (
        '  eval "$(esker hook bash)"      in ~/.bashrc\n'
        '  eval "$(esker hook zsh)"       in ~/.zshrc\n'
        "  esker hook fish | source       in ~/.config/fish/config.fish\n"
        '  eval "`esker hook tcsh`"       in ~/.tcshrc\n'
        '  eval "$(esker hook direnv)"    in ~/.config/direnv/direnvrc, for `use esker`'
    )
    summary = "Print the script with which a shell activates, at its prompt, the allowed environments of its directory."
    parser = Parser(name, summary, examples, voice=voice)
    parser.add_argument("shell", choices=(*NAMES, "direnv"), metavar="SHELL", help=", ".join((*NAMES, "direnv")))
    options = parser.parse_args(arguments)
    program = find_program(voice.path(), os.environ.get("PATH")) or voice.path()
    if options.shell == "direnv":
        from esker.cli.direnv import library

        text = library(program)
    else:
        text = shell(options.shell).hook(program)
    sys.stdout.buffer.write(text.encode())
    return 0
