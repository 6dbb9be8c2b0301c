"""`esker rollback`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.directory import place

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare import project_directory
    from esker.declare.discover import find
    from esker.declare.load import load
    from esker.host.clock import local_minute
    from esker.runtimes.native.links import run_links
    from esker.settings import Settings
    from esker.store import roots
    from esker.store.store import Store

    examples = "  esker rollback\n  esker rollback --list\n  esker rollback --to 3"
    parser = Parser(
        name,
        "Go back to what was installed before the last change; manifest and lock stay as they are.",
        examples,
        voice=voice,
    )
    add_directory(parser)
    parser.add_argument("--to", type=int, metavar="N", help="go to generation N, as --list numbers them")
    parser.add_argument("--list", action="store_true", help="list the generations that are still kept, with dates")
    options = parser.parse_args(arguments)
    start, explicit = place(options)
    declaration = load(find(start, explicit=explicit))
    settings = Settings(os.environ)
    store = Store(settings.store_root)
    links = run_links(declaration, settings.system)
    if options.list:
        for generation in roots.generations(store, links["dev"]):
            mark, made_at = "*" if generation.current else " ", local_minute(generation.made_at)
            print(f"{mark} {generation.number:>4}  {made_at}  {generation.path}")
        return 0
    with project_directory.writable(declaration.dot_flox, "run", mode=0o755) as directory:
        paths = [roots.rollback(store, link, options.to, directory=directory) for link in links.values()]
    voice.say(f"✔ '{declaration.name}' now uses `{paths[0]}`, until its lock changes")
    return 0
