"""`envs` and `delete`: the environments as wholes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.activate.variables import active_environments, dot_flox_of
from esker.cli.arguments import Parser, add_directory
from esker.cli.directory import place
from esker.cli.views.environments import print_active, print_environments
from esker.cli.views.output import print_json
from esker.declare.discover import find
from esker.declare.known_environments import known_environments
from esker.errors import UsageError
from esker.formats.printable import printable

if TYPE_CHECKING:
    from typing import Any

    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run one of the commands."""
    return _envs(arguments, voice) if name == "envs" else _delete(arguments, voice)


def _envs(arguments: list[str], voice: Voice) -> int:
    summary = "Show the environments that are active, the newest first, and the others that are known."
    parser = Parser("envs", summary, "  esker envs\n  esker envs --active --json", voice=voice)
    parser.add_argument("--active", action="store_true", help="only those that are active here")
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    options = parser.parse_args(arguments)
    active = active_environments(os.environ.get("_FLOX_ACTIVE_ENVIRONMENTS"))
    places = {dot_flox_of(element) for element in active}
    inactive = (
        [] if options.active else [each for each in known_environments(os.environ) if each.dot_flox not in places]
    )
    if options.json:
        shown: Any = active if options.active else {"active": active, "inactive": [each.record() for each in inactive]}
        print_json(shown)
        return 0
    if not active and not inactive:
        voice.say("No active environments" if options.active else f"No environments known to {voice.title}")
    if active:
        voice.say("⚡︎ Active environments:")
        print_active(active)
    if inactive:
        voice.say("Inactive environments:")
        print_environments(inactive)
    return 0


def _delete(arguments: list[str], voice: Voice) -> int:
    from esker.declare.load import environment_name
    from esker.runtimes.native.change import delete

    examples = "  esker delete\n  esker delete -f -d ../old"
    parser = Parser("delete", "Delete an environment: its manifest, lock, caches and links.", examples, voice=voice)
    add_directory(parser)
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    start, explicit = place(options)
    project = find(start, explicit=explicit)
    name = environment_name(project)
    if not options.force and not _confirmed(f"Delete the environment '{name}' of {project}? [y/N] "):
        raise UsageError(f"the environment '{name}' was not deleted", hint="say yes, or give --force")
    delete(project)
    voice.say(f"━ environment '{name}' deleted")
    return 0


def _confirmed(question: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(printable(question), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
