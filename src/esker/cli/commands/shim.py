"""`esker shim`: write a command that runs Esker, under its own name or as `flox`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser
from esker.host import start_script
from esker.host.isolation import SOURCE

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]

_ENTRIES = {"esker": "main", "flox": "flox"}
"""The names of the commands, and their functions in `esker.__main__`."""
_EXAMPLES = """\
  esker shim esker ~/.local/bin   put `esker` alone on PATH
  esker shim flox ~/.local/bin    let programs that call `flox` run Esker
  esker shim flox .tools && PATH="$PWD/.tools:$PATH" angreal dev-up
"""


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `shim`."""
    summary = """\
Write a command that runs this Esker wherever and from whatever environment it is called: it ignores its caller's
PYTHONPATH, PYTHONHOME and other settings of Python, and passes them on.
`esker` is the command itself; `flox` prints Flox's texts, for programs that call Flox."""
    parser = Parser(name, summary, _EXAMPLES, voice=voice)
    parser.add_argument("command", choices=tuple(_ENTRIES), help="the command to write")
    parser.add_argument("dir", metavar="DIR", help="the directory to write it to, created if missing")
    options = parser.parse_args(arguments)
    directory = os.path.abspath(options.dir)
    path = start_script.write(
        directory, options.command, entry=_ENTRIES[options.command], interpreter=sys.executable, source=SOURCE
    )
    voice.say(f"✔ Wrote `{path}`, which runs Esker with `{sys.executable}`.")
    if directory not in os.environ.get("PATH", "").split(":"):
        voice.say(f"! `{directory}` is not on PATH: programs will find it after export PATH={directory}:$PATH")
    return 0
