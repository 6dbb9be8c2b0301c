"""`esker trust`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare.trust import trust
    from esker.settings import Settings

    summary = "Allow a project that somebody else owns to run its code."
    parser = Parser(name, summary, "  esker trust ~alice/project", voice=voice)
    parser.add_argument("dir", metavar="DIR", help="the project directory")
    options = parser.parse_args(arguments)
    voice.say(f"✔ Trusted `{trust(options.dir, Settings(os.environ))}`.")
    return 0
