"""`esker outdated`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.selection import declared
from esker.cli.views.output import print_json, shown
from esker.errors import NotFound

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.lock.listing import listing
    from esker.lock.lock_files import read_lock
    from esker.lock.outdated import outdated
    from esker.settings import Settings

    examples = "  esker outdated\n  esker outdated --json"
    summary = (
        "Ask the package index for newer versions of the Python packages that are locked for this system, whether the "
        "manifest allows them or not. `upgrade --dry-run` shows those that are allowed."
    )
    parser = Parser(name, summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print the packages as JSON")
    options = parser.parse_args(arguments)
    declaration, settings = declared(options, os.environ, voice), Settings(os.environ)
    lock = read_lock(declaration)
    if lock is None or (declaration.esker.python is not None and lock.python is None):
        raise NotFound("this environment is not locked yet", hint=f"lock it: {voice.program} lock")
    indexed = {package.name for package in lock.python.packages if not package.is_direct} if lock.python else set()
    versions = {
        each.name: str(each.version)
        for each in listing(lock, settings.system)
        if each.origin == "pypi" and each.name in indexed
    }
    python = settings.interpreters().first(str(lock.python.requires_python or "") if lock.python else "")
    executable = python.executable if python is not None else sys.executable
    newer = outdated(versions, executable, settings.tools) if versions else []
    if options.json:
        print_json([{"name": each.name, "locked": each.locked, "newest": each.newest} for each in newer])
        return 0
    for each in newer:
        print(shown(f"{each.name} {each.locked} → {each.newest}"))
    if newer:
        voice.say(f"Take what is allowed: {voice.program} upgrade")
    else:
        voice.say("✔ Every package is the newest.")
    return 0
