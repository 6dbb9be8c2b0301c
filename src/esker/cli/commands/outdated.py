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
    from esker.lock.lock_files import Lock
    from esker.lock.outdated import Outdated
    from esker.settings import Settings

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare.conda_edit import CONDA
    from esker.lock.conda.outdated import outdated_conda
    from esker.lock.lock_files import read_lock
    from esker.settings import Settings

    examples = "  esker outdated\n  esker outdated --json"
    summary = (
        "Ask the package index and the conda channels for newer versions of the packages that are locked for this "
        "system, whether the manifest allows them or not. Of conda packages the newest allowed version is shown as "
        "well; `upgrade --dry-run` shows all that are allowed."
    )
    parser = Parser(name, summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print the packages as JSON")
    options = parser.parse_args(arguments)
    declaration, settings = declared(options, os.environ, voice), Settings(os.environ)
    lock = read_lock(declaration)
    tables = declaration.esker
    if lock is None or (tables.python and lock.python is None) or (tables.conda and lock.conda is None):
        raise NotFound("this environment is not locked yet", hint=f"lock it: {voice.program} lock")
    newer = outdated_conda(declaration, lock.conda, settings) if lock.conda is not None else []
    newer += _wheels(lock, settings)
    if options.json:
        print_json(
            [
                {
                    "name": each.name,
                    "origin": each.origin,
                    "locked": each.locked,
                    "allowed": each.allowed,
                    "newest": each.newest,
                }
                for each in newer
            ]
        )
        return 0
    for each in newer:
        name = f"{CONDA}{each.name}" if each.origin == "conda" else each.name
        limit = f", allowed: {each.allowed}" if each.allowed not in {None, each.newest} else ""
        print(shown(f"{name} {each.locked} → {each.newest}{limit}"))
    if newer:
        voice.say(f"Take what is allowed: {voice.program} upgrade")
    else:
        voice.say("✔ Every package is the newest.")
    return 0


def _wheels(lock: Lock, settings: Settings) -> list[Outdated]:
    """Return the Python packages of which an index has a newer version."""
    from esker.lock.listing import listing
    from esker.lock.outdated import outdated

    if lock.python is None:
        return []
    indexed = {package.name for package in lock.python.packages if not package.is_direct}
    versions = {
        each.name: str(each.version)
        for each in listing(lock, settings.system)
        if each.origin == "pypi" and each.name in indexed
    }
    python = settings.interpreters().first(str(lock.python.requires_python or ""))
    executable = python.executable if python is not None else sys.executable
    return outdated(versions, executable, settings.tools) if versions else []
