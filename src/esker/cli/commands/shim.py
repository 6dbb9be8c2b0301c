"""`esker shim`: write a command that has another tool's name and runs Esker."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.activate.flox.shim import SHIM_NAME, write_shim
from esker.cli.arguments import Parser

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]

_EXAMPLES = """\
  esker shim flox ~/.local/bin
  esker shim flox .tools && PATH="$PWD/.tools:$PATH" angreal dev-up
"""


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `shim`."""
    summary = "Write a `flox` command that runs Esker and prints Flox's texts, for programs that call Flox."
    parser = Parser(name, summary, _EXAMPLES, voice=voice)
    parser.add_argument("command", choices=(SHIM_NAME,), help="the command to write")
    parser.add_argument("dir", metavar="DIR", help="the directory to write it to, created if missing")
    options = parser.parse_args(arguments)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    directory = os.path.abspath(options.dir)
    path = write_shim(directory, interpreter=sys.executable, source=os.path.dirname(package))
    voice.say(f"✔ Wrote `{path}`, which runs Esker with `{sys.executable}`.")
    if directory not in os.environ.get("PATH", "").split(":"):
        voice.say(f"! `{directory}` is not on PATH: programs will find it after export PATH={directory}:$PATH")
    return 0
