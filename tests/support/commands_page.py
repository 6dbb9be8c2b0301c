"""docs/reference/commands.md: what each command's `--help` says, between parts that a person writes.

`python -m tests.support.commands_page` writes the page again. In the page, the text between a heading of a command and
the next heading is made here, and everything before the first and after the last of these headings is kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from esker.cli.commands import generations, services, store
from esker.cli.main import commands
from esker.cli.voice import ESKER

__all__ = ["PAGE", "renewed"]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
_BEGIN, _END = "<!-- made from --help: begin -->\n", "<!-- made from --help: end -->\n"
_GROUPS = {"services": services._COMMANDS, "generations": generations._COMMANDS, "store": store._STORE}


def renewed(page: str) -> str:
    """Return the page with its generated part made again."""
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    names = [
        "",
        *(line for name in commands(ESKER) for line in (name, *(f"{name} {sub}" for sub in _GROUPS.get(name, ())))),
    ]
    return f"{before}{_BEGIN}\n{''.join(map(_section, names))}{_END}{after}"


def _section(name: str) -> str:
    program = [sys.executable, "-m", "esker", *name.split(), "--help"]
    told = subprocess.run(program, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True, check=True)
    command = f"esker {name}".strip()
    return f"{'###' if ' ' in name else '##'} `{command}`\n\n```text\n{told.stdout.rstrip()}\n```\n\n"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
