"""`esker delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.confirmation import confirmed
from esker.cli.directory import place
from esker.declare.discover import find
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare.load import environment_name
    from esker.runtimes.native.change import delete

    examples = "  esker delete\n  esker delete -f -d ../old"
    parser = Parser(name, "Delete an environment: its manifest, lock, caches and links.", examples, voice=voice)
    add_directory(parser)
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    start, explicit = place(options)
    project = find(start, explicit=explicit)
    title = environment_name(project)
    if not options.force and not confirmed(f"Delete the environment '{title}' in {project}?"):
        raise UsageError(f"the environment '{title}' was not deleted", hint="answer yes, or use --force")
    delete(project)
    voice.say(f"━ environment '{title}' deleted")
    return 0
