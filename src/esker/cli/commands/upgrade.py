"""`esker upgrade`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.manifest import checked_manifest, tell_change
from esker.cli.selection import changeable_project

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.runtimes.native.change import Effect

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare.load import environment_name
    from esker.formats.counted import counted
    from esker.runtimes.native.packages import upgrade
    from esker.settings import Settings

    examples = "  esker upgrade\n  esker upgrade starlette anyio\n  esker upgrade --dry-run"
    summary = (
        "Lock and install the newest versions that the manifest and the pyproject.toml allow: of all packages, or of "
        "those that are named, which need not be declared themselves."
    )
    parser = Parser(name, summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("package", nargs="*", metavar="NAME", help="a package to upgrade (default: all of them)")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    parser.add_argument("--json", action="store_true", help="print what has changed in the lock as JSON")
    options = parser.parse_args(arguments)
    project = changeable_project(options, os.environ)
    manifest = checked_manifest(project, voice)
    effect: Effect = "try" if options.dry_run else "install"
    settings, progress = Settings(os.environ), voice.progress()
    made = upgrade(project, manifest, options.package, settings, effect=effect, progress=progress)
    changes, environment = made.packages(), environment_name(project)
    tell_change(changes, environment, voice, json=options.json, effect=effect)
    count = counted(len(changes), "package")
    if not changes:
        voice.say("✔ Nothing to upgrade: every version is the newest that is allowed.")
    elif not options.dry_run:
        voice.say(f"✔ {count} changed in environment '{environment}'")
    return 0
