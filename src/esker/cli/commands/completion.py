"""`esker completion`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]

_SHELLS = ("bash", "zsh", "fish")
_EXAMPLES = """\
  esker completion bash > ~/.local/share/bash-completion/completions/esker
  esker completion zsh > ~/.zsh/functions/_esker
  esker completion fish > ~/.config/fish/completions/esker.fish
"""


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    summary = "Print the script with which a shell completes `esker` commands. It starts no Python and no project code."
    parser = Parser(name, summary, _EXAMPLES, voice=voice)
    parser.add_argument("shell", choices=_SHELLS, help="the shell that is to read it")
    options = parser.parse_args(arguments)
    from esker.cli.completion.script import script

    sys.stdout.write(script(options.shell))
    return 0
