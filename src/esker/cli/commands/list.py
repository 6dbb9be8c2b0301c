"""`esker list`."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.commands.which import list_files
from esker.cli.selection import declared
from esker.cli.views.output import shown
from esker.cli.views.packages import print_blocks
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.lock.lock_files import Lock
    from esker.settings import Settings

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.lock.listing import listing, locked_interpreter
    from esker.lock.lock_files import read_lock
    from esker.settings import Settings

    examples = "  esker list\n  esker list -a\n  esker list --files conda/jq\n  esker list --json"
    parser = Parser(name, "List the environment's packages, with versions and origins.", examples, voice=voice)
    add_directory(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("-e", "--extended", action="store_true", help="names, origins and versions (default)")
    forms.add_argument("-n", "--name", action="store_true", help="only names")
    forms.add_argument("-a", "--all", action="store_true", help="every detail of each package")
    forms.add_argument("-c", "--config", action="store_true", help="the manifest, merged with what it includes")
    forms.add_argument("-u", "--upstream", action="store_true", help=SUPPRESS)
    parser.add_argument("--files", metavar="NAME", help="the files that an installed package brings")
    forms.add_argument("--json", action="store_true", help="print the packages, or the files, as JSON")
    options = parser.parse_args(arguments)
    if options.upstream:
        raise UsageError("`--upstream` is for environments on FloxHub, which Esker does not support yet")
    declaration = declared(options, os.environ, voice)
    if options.files is not None:
        if options.extended or options.name or options.all or options.config:
            raise UsageError("`--files` lists paths, and no other form of the list", hint="leave the other option out")
        return list_files(declaration, options.files, voice, json=options.json)
    if options.config:
        return _config(declaration, voice)
    lock = read_lock(declaration)
    settings = Settings(os.environ)
    if voice.remarks:
        _remark(declaration, lock, settings, voice)
    packages = listing(lock, settings.system)
    python = locked_interpreter(lock) if voice.remarks and not options.name else None
    rows = [*packages, *([python] if python else [])]
    if options.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode([row.record() for row in rows])).decode())
        return 0
    if not packages and (lock is not None or not voice.remarks):  # else the remark has said it: nothing is locked yet
        voice.say(
            f"! No packages are installed for your current system ('{settings.system}').\n\n"
            f"You can see the whole manifest with '{voice.program} list --config'."
        )
    if options.all:
        print_blocks(rows)
        return 0
    for row in rows:
        print(shown(row.name if options.name else row.line()))
    return 0


def _remark(declaration: Declaration, lock: Lock | None, settings: Settings, voice: Voice) -> None:
    """Say what is not as it should be: a stale lock, or a rollback, which the list does not show."""
    from esker.declare.generations import in_force
    from esker.host.clock import local_minute
    from esker.lock.staleness import staleness

    if staleness(declaration, lock, settings.system, settings.indexes).reasons:
        voice.remark(f"! The lock does not match the manifest: run '{voice.program} lock'")
    if (earlier := in_force(declaration, settings)) is not None:
        voice.remark(
            f"! Generation {earlier.number} is live, of {local_minute(earlier.made_at)}, and this list is the lock's.\n"
            f"That ends when the lock changes; '{voice.program} generations list' shows all, and "
            f"'{voice.program} generations switch N' goes to another."
        )


def _config(declaration: Declaration, voice: Voice) -> int:
    if declaration.own_manifest.include is not None:
        return _merged_config(declaration, voice)
    with open(f"{declaration.dot_flox}/env/manifest.toml", encoding="utf-8") as file:
        sys.stdout.write(shown(file.read()))
    return 0


def _merged_config(declaration: Declaration, voice: Voice) -> int:
    """Print the manifest with all that it includes; for Flox's users with the plugins as Flox merges them."""
    from msgspec.structs import replace

    from esker.formats.manifest_text import render
    from esker.lock.compose import composed
    from esker.settings import Settings

    if declaration.layers is None:
        declaration = composed(declaration, Settings(os.environ))
    manifest = declaration.manifest
    if voice.remarks and declaration.layers is not None and declaration.layers.esker:
        manifest = replace(manifest, plugins={**manifest.plugins, "esker": declaration.layers.esker})
    voice.say("ℹ Displaying merged manifest.")
    sys.stdout.write(shown(render(manifest)))
    return 0
